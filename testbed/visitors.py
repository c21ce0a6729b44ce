"""Visitors of the demo town: panels that are pressed, phones that answer, and what each end heard.

Panels and phones are baresip, with real sound: the panel plays one pitch and every phone another. The first phone to
answer changes from call to call; one phone sleeps, and is woken by its push. Every panel of the town is on, and behind
it the handsets of its flats, for quality calls: somebody lifts and talks, but two of them are bad.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import trio
from attrs import define, field

from crm.calls.timeline import entry_line, head_line
from crm.town.town import Town, TownAccount, TownFlat, TownPanel
from crm.values.records import CallRecord, Entry, EntryKind
from testbed.audio import heard, write_sound
from testbed.baresip import Baresip, open_baresip
from testbed.bed import Bed, Credentials, Kind
from testbed.emergency import SosScore
from testbed.gateway import GatewayPush
from testbed.processes import ProcessFailed
from testbed.residents import Handset, sound

PANEL_TONE, FIRST_PHONE_TONE, TONE_STEP = 440.0, 700.0, 150.0  # Hz
TALK_S = 2.5
VISITS = 5  # different flats that are visited in turn
BAD_HANDSETS = {
    ("500004", "7"): Handset.NOISY,
    ("500005", "112014"): Handset.DEAD,
}  # by panel and what it dials


@define
class Phone:
    """A phone of an account. One that sleeps registers when its push comes."""

    account: TownAccount
    agent: Baresip
    tone: float
    awake: bool


@define
class Visit:
    """A flat to be visited, from a panel that can call it."""

    panel: TownPanel
    dialled: str
    flat: TownFlat


@define
class Score:
    calls: int = 0
    bridged: int = 0
    sound: int = 0
    sos: SosScore = field(factory=SosScore)


def visits(town: Town) -> list[Visit]:
    """Flats that can be visited, as different as the town has them: one with a phone that sleeps, a gate's too."""
    found: list[Visit] = []
    for panel in town.panels:
        for dialled, flat in panel.dials.items():
            if flat.accounts and not flat.blocked and not flat.auto_open:
                found.append(Visit(panel, dialled, flat))
    asleep = [v for v in found if any(account.asleep for account in v.flat.accounts)]
    by_panel = {v.panel.sip_user: v for v in reversed(found) if len(v.flat.accounts) > 1}
    chosen: list[Visit] = []
    for visit in [*by_panel.values(), *asleep[:1]]:
        if all(visit.flat is not other.flat for other in chosen):
            chosen.append(visit)
    return chosen[-VISITS:]


class Visitors:
    """The town at work. `score` counts what became of each call."""

    def __init__(self, town: Town, progress: Callable[[str], None]) -> None:
        self.town = town
        self.visits = visits(town)
        self.score = Score()
        self._progress = progress
        self._panels: dict[str, Baresip] = {}
        self._phones: dict[str, Phone] = {}
        self._woken: trio.MemorySendChannel[Phone] | None = None
        self.bridged: set[str] = set()
        self._shown: str = ""

    # --- what is shown ---------------------------------------------------------------------------------------

    def on_entry(self, record: CallRecord, entry: Entry) -> None:
        """The live timeline: a head line a call, then each thing that happens in it."""
        if self._shown != record.call_id or entry.kind is EntryKind.BUTTON:
            self._shown = record.call_id
            print(f"\n{head_line(record)}", flush=True)
        print(f"  {entry_line(record, entry)}", flush=True)
        if entry.kind is EntryKind.BRIDGED and record.kind == "visitor":
            self.bridged.add(record.call_id)

    # --- panels and phones -----------------------------------------------------------------------------------

    async def open_ends(self, bed: Bed, nursery: trio.Nursery) -> None:
        """Start all panels, and the phones of all visits; they stay until the nursery is cancelled."""
        accounts = {a.sip_user: a for v in self.visits for a in v.flat.accounts}
        handsets = {
            handset: write_sound(bed.run_dir / f"handset-{handset.value.value}.wav", sound(bed.tree, handset))
            for handset in (Handset.GOOD, *BAD_HANDSETS.values())
        }
        async with trio.open_nursery() as starting:
            for panel in self.town.panels:
                starting.start_soon(nursery.start, self._panel, bed, panel, handsets)
            for n, account in enumerate(accounts.values()):
                tone = FIRST_PHONE_TONE + n * TONE_STEP
                starting.start_soon(nursery.start, self._phone, bed, account, tone)

    async def _panel(
        self,
        bed: Bed,
        panel: TownPanel,
        sounds: Mapping[Handset, Path],
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        user = Credentials(panel.sip_user, panel.password, Kind.PANEL)
        handsets = {
            dialled: sounds[BAD_HANDSETS.get((panel.sip_user, dialled), Handset.GOOD)]
            for dialled in panel.dials
        }
        async with open_baresip(bed, user, tone=PANEL_TONE, handsets=handsets) as agent:
            self._panels[panel.sip_user] = agent
            task_status.started()
            await trio.sleep_forever()

    async def _phone(
        self,
        bed: Bed,
        account: TownAccount,
        tone: float,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        user = Credentials(account.sip_user, account.password, Kind.ACCOUNT)
        async with open_baresip(bed, user, tone=tone, register=not account.asleep) as agent:
            self._phones[account.sip_user] = Phone(account, agent, tone, awake=not account.asleep)
            task_status.started()
            await trio.sleep_forever()

    def ends(self) -> str:
        return f"{len(self._panels)} panels and {len(self._phones)} phones"

    def a_panel(self) -> Baresip:
        """The first of the panels that are on."""
        return self._panels[min(self._panels)]

    def on_push(self, push: GatewayPush) -> None:
        """A push has come to a phone: one that sleeps wakes up."""
        phone = self._phones.get(push.account)
        if push.kind == "ring" and phone is not None and not phone.awake and self._woken is not None:
            phone.awake = True
            self._woken.send_nowait(phone)

    async def wake_phones(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        self._woken, pushed = trio.open_memory_channel[Phone](100)
        task_status.started()
        async for phone in pushed:
            try:
                await phone.agent.register(wait=False)  # the visit waits for its call
            except ProcessFailed as error:
                self._progress(f"a phone did not wake up: {error}")

    # --- visitors --------------------------------------------------------------------------------------------

    async def visit(self, number: int) -> None:
        """One visitor: presses, talks to whoever answers first, is let in; then counts what was heard."""
        visit = self.visits[number % len(self.visits)]
        panel = self._panels[visit.panel.sip_user]
        phones = [self._phones[account.sip_user] for account in visit.flat.accounts]
        first = next(
            (p for p in phones if p.account.asleep), phones[number // len(self.visits) % len(phones)]
        )
        known = len(self.bridged)
        before = {agent.user: set(agent.heard_files()) for agent in (panel, first.agent)}
        self.score.calls += 1
        try:
            await panel.dial(visit.dialled)
            await first.agent.wait_event("CALL_INCOMING", within_s=15)
            await trio.sleep(random.uniform(0.8, 1.8))
            await first.agent.accept()
            await panel.wait_event("CALL_ESTABLISHED")
            await trio.sleep(TALK_S)
            await first.agent.send_digits(visit.panel.door_digits[:1])
            await trio.sleep(0.8)
            await (first.agent if number % 2 else panel).hangup()
            await panel.wait_event("CALL_CLOSED")
            await trio.sleep(0.5)
        except ProcessFailed as error:
            self._progress(f"call {number + 1} went wrong: {error}")
            with contextlib.suppress(ProcessFailed):
                await panel.hangup()
            await trio.sleep(2)
            return
        if first.account.asleep:
            await first.agent.unregister()
            first.awake = False
        self.score.bridged += len(self.bridged) > known
        at_panel = self._heard(panel, before[panel.user], first.tone)
        at_phone = self._heard(first.agent, before[first.agent.user], PANEL_TONE)
        self.score.sound += at_panel and at_phone
        print(
            f"  sound: the panel {'heard' if at_panel else 'did NOT hear'} {first.account.sip_user} "
            f"({first.tone:.0f} Hz), who {'heard' if at_phone else 'did NOT hear'} it ({PANEL_TONE:.0f} Hz)",
            flush=True,
        )

    @staticmethod
    def _heard(agent: Baresip, before: set[Path], tone: float) -> bool:
        return any(heard(path, tone) for path in agent.heard_files() if path not in before)
