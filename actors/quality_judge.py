"""From a quality call that is over to its result: its recording is measured and drawn by a worker process."""

from __future__ import annotations

import time
from pathlib import Path

import attrs
import msgspec
import structlog
from attrs import frozen

from actors.quality_call import GOODBYE, Called, QualityCall
from actors.quality_files import directions, until_whole
from config import Config
from crm.values.quality import CallType, Result
from telephony.panels.interface import AnswerMeans, LineState
from telephony.recording import CallFacts, Ended, Judgement, Prompt, Rtp, SoundError, Verdict, decide
from telephony.sound_worker import Job, SoundWorkers

MEASURE_S = 30.0
PACKETS_S = 50  # of 20 ms, as panels send them
LIFTED = {AnswerMeans.LIFTED: True, AnswerMeans.CONNECTED: False, AnswerMeans.UNKNOWN: None}

log = structlog.get_logger("quality")


@frozen
class Judge:
    """Judges calls by the thresholds of their panels' vendors."""

    config: Config
    sounds: SoundWorkers

    async def result(self, call: QualityCall, called: Called) -> Result:
        """What a call found out; a recording that cannot be measured is "unknown", and the result says why."""
        task, record = call.task, call.record
        facts = facts_of(called)
        recording = Path(self.config.quality.recordings) / called.recording
        judgement, picture = await self._judged(facts, recording, task.vendor), ""
        if called.ended is Ended.ANSWERED and any(each.value is not None for each in judgement.measures):
            picture = await self._drawn(called, recording, f"{task.address}, {task.flat}")
        line = called.look.line
        by_hand = task.kind is CallType.TEST
        return Result(
            task_id=task.id or None,
            flat_id=task.flat_id or None,
            campaign_id=task.campaign_id,
            kind=task.kind,
            verdict=judgement.verdict.value,
            confidence=judgement.confidence,
            why=judgement.why,
            measures=msgspec.json.encode([attrs.asdict(each) for each in judgement.measures]).decode(),
            line=line.state.value if line is not None else "",
            line_level=line.level if line is not None else None,
            recording=called.recording,
            picture=picture,
            call_id=call.call_id,
            panel=task.panel,
            attempt=1 if by_hand else task.attempts + 1,
            started_at=record.started_at,
            ended_at=record.ended_at or time.time(),
        )

    async def _judged(self, facts: CallFacts, recording: Path, vendor: str) -> Judgement:
        thresholds = self.config.handset_of(vendor)
        if facts.ended is not Ended.ANSWERED:
            return decide(None, facts, thresholds)
        if not await until_whole(recording):
            return Judgement(Verdict.UNKNOWN, 0.0, (), f"the recording {recording} is not there, or empty")
        came, heard = directions(recording)
        try:
            return await self.sounds.measure(came, heard, facts, thresholds, MEASURE_S)
        except SoundError as error:
            log.error("a recording could not be measured", file=str(recording), why=str(error))
            return Judgement(Verdict.UNKNOWN, 0.0, (), str(error))

    async def _drawn(self, called: Called, recording: Path, title: str) -> str:
        """The picture beside the recording, as a path like the recording's; "": there is none."""
        came, heard = directions(recording)
        arguments = {
            "handset": came,
            "sent": heard,
            "into": recording.with_suffix(""),
            "title": title,
            "marks": [(each.began_s, each.ended_s, each.name) for each in called.played],
            "language": self.config.call.language,
        }
        try:
            await self.sounds.do(Job.DRAW, arguments, tuple[Path, Path], MEASURE_S, f"drawing {recording}")
        except SoundError as error:
            log.warning("a recording could not be drawn", file=str(recording), why=str(error))
            return ""
        return str(Path(called.recording).with_suffix(".svg"))


def facts_of(called: Called) -> CallFacts:
    """What is known of a call beside its sound."""
    rtp, expected = called.rtp, round(called.listened_s * PACKETS_S)
    counted = Rtp()
    if rtp is not None:
        sent = rtp.rxcount + rtp.rxploss
        loss = rtp.rxploss / sent if sent else None
        counted = Rtp(rtp.rxcount, expected, loss, rtp.rxjitter * 1000)
    line = called.look.line
    return CallFacts(
        called.ended,
        tuple(Prompt(each.began_s, each.ended_s) for each in called.played if each.name != GOODBYE),
        counted,
        line.state if line is not None else LineState.UNKNOWN,
        LIFTED[called.look.answer_means],
    )
