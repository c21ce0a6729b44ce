"""What is kept of a call: one `CallRecord`, its legs, and its entries in the order in which they happened.

A record is written by the one call that it is about, and read by the journal, which keeps it; nobody else changes it.
Times are UTC, in seconds since the epoch.
"""

from __future__ import annotations

from enum import Enum

from attrs import Factory, define, frozen


class Outcome(Enum):
    """How a call ended."""

    TALKED = "talked"
    AUTO_OPENED = "auto_opened"
    UNKNOWN_PANEL = "unknown_panel"
    UNKNOWN_FLAT = "unknown_flat"
    BLOCKED = "blocked"
    NO_ACCOUNTS = "no_accounts"
    NOBODY_ANSWERED = "nobody_answered"  # every leg ended by itself, and none was busy or declined
    DECLINED = "declined"  # every leg that ended was busy or declined
    RING_TIMEOUT = "ring_timeout"
    GAVE_UP = "gave_up"  # the visitor hung up before an answer
    REPLACED = "replaced"  # a second call from the same panel: this one's end was lost
    PREEMPTED = "preempted"  # something that comes first took the panel
    DIRECTORY_AWAY = "directory_away"  # the database is away, and the flat was not known
    STOPPED = "stopped"  # the node was stopped
    FAILED = "failed"  # a bug, or Asterisk refused
    LOST = "lost"  # it ended while no node was looking
    UNREACHABLE = "unreachable"  # of a 112 call: no dispatch, and no duty desk, could be reached


class EntryKind(Enum):
    """What happened; the words in brackets name the entry's data."""

    BUTTON = "button"  # (panel, dialled; of a test ring: by)
    FOUND = "found"  # (address, flat, accounts, phones; stale=1 when the database was away)
    NOT_FOUND = "not_found"  # (why)
    PUSH_SENT = "push_sent"  # (account, phone, platform, push: ring or cancel)
    PUSH_ACCEPTED = "push_accepted"  # (account, phone, push, took_ms)
    PUSH_REFUSED = "push_refused"  # (account, phone, push, why)
    INVITE = "invite"  # (account)
    RINGING = "ringing"  # (account)
    ANSWERED = "answered"  # (account)
    LEG_ENDED = "leg_ended"  # (account, end, sip, cause)
    BRIDGED = "bridged"  # (account)
    DTMF = "dtmf"  # (digit, by)
    DOOR = "door"  # (digit, by)
    PROMPT = "prompt"  # (media)
    RECOVERED = "recovered"  # (how)
    LENT = "lent"  # (number, why: a sos.Why, "own_number" or "no number"; took_ms)
    CALLED_BACK = "called_back"  # (number, caller, known: 1 if it is a dispatch's)
    PRESSED_AGAIN = "pressed_again"  # ()
    END = "end"  # (outcome, by)


class LegEnd(Enum):
    """Why a leg ended."""

    HUNG_UP = "hung_up"  # this end hung up after an answer
    DROPPED = "dropped"  # the other end of the talk hung up, or its limit was reached
    CANCELLED = "cancelled"  # the visitor gave up, or the ring time was over
    ANSWERED_ELSEWHERE = "answered_elsewhere"
    BUSY = "busy"  # 486, 600
    DECLINED = "declined"  # 603, 403
    NO_ANSWER = "no_answer"  # 408, 480 after it rang
    UNREACHABLE = "unreachable"  # 404, 408, 480 and it never rang: never registered
    FAILED = "failed"  # anything else
    LOST = "lost"  # its end was not seen


@frozen
class Entry:
    """One thing that happened, at `at`, to the leg named `leg` (a channel id; "" for the call as a whole)."""

    at: float
    kind: EntryKind
    leg: str = ""
    data: dict[str, str | int | float] = Factory(dict)


@define
class LegRecord:
    """One channel of a call. `role` is "panel", "account", "dispatch" or "duty"; `account` the SIP user or the trunk, ""
    for the panel's leg.
    """

    channel: str
    role: str
    account: str = ""
    invited_at: float | None = None
    ringing_at: float | None = None
    answered_at: float | None = None
    ended_at: float | None = None
    end: LegEnd | None = None
    cause: int | None = None  # Q.850
    sip_code: int | None = None


@define
class CallRecord:
    """One call: from the button to the end."""

    call_id: str
    node: str
    panel: str  # SIP user
    dialled: str
    started_at: float
    kind: str = "visitor"
    address: str = ""
    domophone: str = ""  # MAC
    flat: str = ""  # the flat's own number
    flat_id: int | None = None
    answered_at: float | None = None
    answered_by: str = ""  # account
    door_at: float | None = None
    ended_at: float | None = None
    outcome: Outcome | None = None
    legs: list[LegRecord] = Factory(list)
    number: str = ""  # of a 112 call: the one that its panel was lent
    recording: str = ""  # a file, under Asterisk's spool folder of recordings
    entries: list[Entry] = Factory(list)
