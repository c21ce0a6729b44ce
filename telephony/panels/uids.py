"""How panels write the UID of a key: in which order of its bytes, and with how many zeros before it."""

from __future__ import annotations

import re
from enum import Enum

from telephony.panels.interface import PanelCannot

PADDED_BYTES = 7  # Beward, Qtech and Sokol write every key as so many


class UidOrder(Enum):
    """In which order a panel writes the bytes of a UID."""

    AS_SENT = "as_sent"  # as the key sends them
    REVERSED = "reversed"


def check_uid(uid: str) -> str:
    """A UID as drivers take it: 3 to 10 bytes of hex, capitals, as the key sends them. Raises ValueError."""
    if not re.fullmatch(r"(?:[0-9A-F]{2}){3,10}", uid):
        raise ValueError(f"a key's UID is 3 to 10 bytes of hex in capitals, not {uid[:40]!r}")
    return uid


def ordered(uid: str, order: UidOrder) -> bytes:
    """The bytes of a UID as a panel has them."""
    data = bytes.fromhex(uid)
    return data if order is UidOrder.AS_SENT else data[::-1]


def padded(uid: str, order: UidOrder) -> str:
    """A UID in 14 hex digits. Raises PanelCannot: it is longer."""
    data = ordered(uid, order)
    if len(data) > PADDED_BYTES:
        raise PanelCannot(f"its keys have {PADDED_BYTES} bytes at most, and this one {len(data)}")
    return data.hex().upper().rjust(2 * PADDED_BYTES, "0")
