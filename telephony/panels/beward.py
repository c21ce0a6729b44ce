"""Beward's DKS panels: CGI requests, answered in plain text.

A line's level is a number on the panel's own scale. What it means is set in the panel, for each flat:
`HandsetUpLevel`, from which it takes the handset for lifted, and `DoorOpenLevel`, from which for its button pressed.
Those two are asked for after the level; without them it stays a number.
"""

from __future__ import annotations

from telephony.panels.http import Answer, PanelHttp, number
from telephony.panels.interface import (
    AnswerMeans,
    Idle,
    LineState,
    LineTest,
    PanelAnswer,
    PanelBusy,
    PanelCannot,
    PanelRefused,
    Registration,
)

INTERCOM = "/cgi-bin/intercom_cgi"
APARTMENT = "/cgi-bin/apartment_cgi"
SIP = "/cgi-bin/sip_cgi"
DOORS = {1: "maindoor", 2: "altdoor"}
FAILED = "Request failed:"


class Beward:
    """See `PanelDriver`."""

    vendor = "beward"
    answer_means = AnswerMeans.UNKNOWN
    has_line_test = True

    def __init__(self, http: PanelHttp) -> None:
        self._http = http

    async def line_test(self, flat: str) -> LineTest:
        answer = await self._http.ask("GET", INTERCOM, {"action": "linelevel", "Apartment": flat})
        level = line_level(answer)
        return LineTest(state_of(level, await self._bounds(flat)), level, "", answer.said)

    async def _bounds(self, flat: str) -> tuple[float, float] | None:
        try:
            return flat_bounds(await self._http.ask("GET", APARTMENT, {"action": "get", "Number": flat}))
        except (PanelRefused, PanelAnswer):  # firmware without levels of a flat's own
            return None

    async def idle(self) -> Idle:
        return Idle.NOT_TOLD  # only the test of a line says that it is busy

    async def open_door(self, door: int = 1) -> None:
        if door not in DOORS:
            raise PanelCannot(f"Beward's panels have doors 1 and 2, not {door}")
        answer = allowed(await self._http.ask("GET", INTERCOM, {"action": DOORS[door]}))
        if answer.text().strip() != "OK":
            raise PanelAnswer("it does not say that the door is open", said=answer.said)

    async def registration(self) -> Registration:
        return account_state(await self._http.ask("GET", SIP, {"action": "regstatus"}))


def allowed(answer: Answer) -> Answer:
    """An answer that is no refusal. Raises `PanelBusy`, `PanelRefused`."""
    text = answer.text().strip()
    if text.startswith(FAILED):
        if text.removeprefix(FAILED).strip().casefold() == "busy":
            raise PanelBusy("it is in a call: try again later")
        raise PanelRefused("it refuses", status=answer.status, said=answer.said)
    return answer.good()


def line_level(answer: Answer) -> float:
    """A line's level, on the panel's own scale. Raises `PanelError`."""
    level = number(allowed(answer).text())
    if level is None:
        raise PanelAnswer("its answer is no level of a line", said=answer.said)
    return level


def flat_bounds(answer: Answer) -> tuple[float, float] | None:
    """From which level the panel takes a flat's handset for lifted, and from which its button for pressed."""
    values = answer.good().parameters()
    up, door = number(values.get("HandsetUpLevel")), number(values.get("DoorOpenLevel"))
    return None if up is None or door is None else (up, door)


def state_of(level: float, bounds: tuple[float, float] | None) -> LineState:
    """What a level means by the panel's own bounds, on whose scale it rises from lying over lifted to the button.

    0 is no measurement, and from the button's level on a broken line measures alike: both stay a number.
    """
    if bounds is None or not 0 < bounds[0] < bounds[1] or not 0 < level < bounds[1]:
        return LineState.LEVEL
    return LineState.ON_HOOK if level < bounds[0] else LineState.OFF_HOOK


def account_state(answer: Answer) -> Registration:
    """Whether the first SIP account, which is the one that calls go over, is registered. Raises `PanelError`."""
    values = allowed(answer).parameters()
    match values.get("AccountReg1"):
        case "1":
            return Registration.REGISTERED
        case "0":
            return Registration.NOT_REGISTERED
        case None if values:
            return Registration.NOT_TOLD
        case _:
            raise PanelAnswer("its answer has no AccountReg1 that is 0 or 1", said=answer.said)
