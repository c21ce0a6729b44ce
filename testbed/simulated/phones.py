"""Scripted phones: what becomes of a call to an account, decided by the user of its X-Kamailio-URI.

All times are seconds, counted from the INVITE unless said otherwise. A phone that is in no table does what
the default says.
"""

from __future__ import annotations

import re

from attrs import Factory, define, frozen

_USER = re.compile(r"^<?(?:sips?:)?([^@;>]+)")


@frozen(kw_only=True)
class Phone:
    """One phone's conduct. With neither `answer_s` nor `refuse` it rings until somebody ends that."""

    ring_s: float | None = 0.05  # None: it is sent no 180
    answer_s: float | None = None
    refuse: int | None = None  # a SIP code: 486, 603, 480 …
    refuse_s: float = 0.05
    wakes_s: float | None = (
        None  # it sleeps: 183 from Kamailio at once, the times above count from its waking
    )
    sleeps: bool = False  # with no wakes_s: it never wakes
    hangup_s: float | None = None  # from its answer
    dtmf: str = ""  # digits that it presses
    dtmf_s: float = 0.3  # from its answer, and between digits


@define
class PhoneBook:
    """Phones by account, and the default for all others."""

    default: Phone = Phone(ring_s=0.05, answer_s=1.0, hangup_s=5.0)
    by_user: dict[str, Phone] = Factory(dict)

    def get(self, user: str) -> Phone:
        return self.by_user.get(user, self.default)


def user_of(uri: str) -> str:
    """The user of a SIP URI; "" where there is none."""
    found = _USER.match(uri.strip())
    return found.group(1) if found else ""
