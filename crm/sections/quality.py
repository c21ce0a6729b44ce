"""Quality calls: campaigns, their tasks, and the results of calls to flats' handsets.

A campaign is within reach if all that it goes over is (crm.quality.reach); tasks and results belong to their flat's
house. What makes and changes them is crm.quality.desk's.
"""

from __future__ import annotations

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource, choices
from crm.model import table
from crm.quality.reach import campaign_within
from crm.quality.words import why_words
from crm.rights import Right
from crm.sections.shared import CITIES, FLAT_TITLE, FLATS, HOUSE_TITLE, HOUSES, reach_of_houses
from crm.tables.quality import QualityCampaign, QualityResult, QualityTask
from crm.values.quality import CampaignState, TaskState

SECTION = "Quality"
RESULTS, TASKS, CAMPAIGNS = table(QualityResult), table(QualityTask), table(QualityCampaign)
VERDICTS = tuple(
    (each, each.replace("_", " "))
    for each in (
        "good",
        "weak",
        "noisy",
        "one_way",
        "dead",
        "nobody_answered",
        "busy",
        "unreachable",
        "unknown",
    )
)


def _of_flats(of: sa.Table) -> sa.FromClause:
    """A table joined with its flats' houses; its flat may be gone."""
    return (
        of.outerjoin(FLATS, FLATS.c.id == of.c.flat_id)
        .outerjoin(HOUSES, HOUSES.c.id == FLATS.c.house_id)
        .outerjoin(CITIES, CITIES.c.id == HOUSES.c.city_id)
    )


def _house() -> Field:
    return Field(
        name="house_id",
        label="House",
        kind=Kind.REFERENCE,
        refers_to="houses",
        column=FLATS.c.house_id,
        shown=HOUSE_TITLE,
        written=False,
        listed=False,
        find=Find.SAME,
    )


def _flat(of: sa.Table) -> Field:
    return Field(
        name="flat_id",
        label="Flat",
        kind=Kind.REFERENCE,
        refers_to="flats",
        column=of.c.flat_id,
        shown=FLAT_TITLE,
        written=False,
        listed=False,
        find=Find.SAME,
    )


def _campaign(of: sa.Table) -> Field:
    return Field(
        name="campaign_id",
        label="Campaign",
        kind=Kind.REFERENCE,
        refers_to="quality-campaigns",
        column=of.c.campaign_id,
        shown=CAMPAIGNS.c.name,
        written=False,
        find=Find.SAME,
    )


def _time(name: str, label: str, column: sa.Column[float], *, finds: bool = False) -> Field:
    find = Find.BETWEEN if finds else Find.NOT
    return Field(name=name, label=label, kind=Kind.TIME, column=column, written=False, find=find)


def _choice(
    name: str, label: str, column: sa.Column[str], values: tuple[tuple[str, str], ...], *, find: bool = True
) -> Field:
    return Field(
        name=name,
        label=label,
        kind=Kind.CHOICE,
        column=column,
        choices=values,
        written=False,
        find=Find.SAME if find else Find.NOT,
    )


CAMPAIGNS_RESOURCE = Resource(
    name="quality-campaigns",
    entity="quality_campaign",
    label="Campaigns",
    label_one="Campaign",
    section=SECTION,
    icon="megaphone",
    model=QualityCampaign,
    source=CAMPAIGNS,
    title=CAMPAIGNS.c.name,
    view=Right.QUALITY_VIEW,
    reach=campaign_within,
    order=("-created_at",),
    creates=False,
    deletes=False,
    fields=(
        Field(name="name", label="Name", column=CAMPAIGNS.c.name, written=False, find=Find.CONTAINS),
        _choice("state", "State", CAMPAIGNS.c.state, choices(CampaignState)),
        _time("created_at", "Made", CAMPAIGNS.c.created_at),
        _time("ended_at", "Ended", CAMPAIGNS.c.ended_at),
    ),
)

TASKS_RESOURCE = Resource(
    name="quality-tasks",
    entity="quality_task",
    label="Flats to be called",
    label_one="Task",
    section=SECTION,
    icon="queue-list",
    model=QualityTask,
    source=_of_flats(TASKS).outerjoin(CAMPAIGNS, CAMPAIGNS.c.id == TASKS.c.campaign_id),
    title=FLAT_TITLE,
    view=Right.QUALITY_VIEW,
    reach=reach_of_houses,
    order_of={"campaign_id": ("flat_id",)},
    creates=False,
    deletes=False,
    in_menu=False,
    fields=(
        _campaign(TASKS),
        _choice("state", "State", TASKS.c.state, choices(TaskState)),
        Field(name="verdict", label="Verdict", column=TASKS.c.verdict, written=False, find=Find.SAME),
        _time("due_at", "Due", TASKS.c.due_at),
        Field(name="attempts", label="Attempts", kind=Kind.INTEGER, column=TASKS.c.attempts, written=False),
        Field(name="why", label="Why", column=TASKS.c.why, written=False, words=why_words),
        _flat(TASKS),
        _house(),
    ),
)

RESULTS_RESOURCE = Resource(
    name="quality-results",
    entity="quality_result",
    label="Results",
    label_one="Handset test",
    section=SECTION,
    icon="signal",
    model=QualityResult,
    source=_of_flats(RESULTS).outerjoin(CAMPAIGNS, CAMPAIGNS.c.id == RESULTS.c.campaign_id),
    title=sa.func.coalesce(FLAT_TITLE, RESULTS.c.panel),
    view=Right.QUALITY_VIEW,
    reach=reach_of_houses,
    order=("-started_at",),
    creates=False,
    deletes=False,
    fields=(
        _choice("verdict", "Verdict", RESULTS.c.verdict, VERDICTS),
        Field(
            name="confidence",
            label="Confidence",
            kind=Kind.NUMBER,
            column=RESULTS.c.confidence,
            written=False,
        ),
        Field(name="why", label="Why", column=RESULTS.c.why, written=False, words=why_words),
        _time("started_at", "When", RESULTS.c.started_at, finds=True),
        Field(name="attempt", label="Attempt", kind=Kind.INTEGER, column=RESULTS.c.attempt, written=False),
        _campaign(RESULTS),
        _house(),
        _flat(RESULTS),
        Field(name="line", label="Line test", column=RESULTS.c.line, written=False, listed=False),
        Field(
            name="line_level",
            label="Line level",
            kind=Kind.NUMBER,
            column=RESULTS.c.line_level,
            written=False,
            listed=False,
        ),
        Field(name="panel", label="Panel", column=RESULTS.c.panel, written=False, listed=False),
        Field(name="call_id", label="Call", column=RESULTS.c.call_id, written=False, listed=False),
        Field(name="measures", label="Measures", column=RESULTS.c.measures, written=False, listed=False),
    ),
)

RESOURCES: tuple[Resource, ...] = (CAMPAIGNS_RESOURCE, RESULTS_RESOURCE, TASKS_RESOURCE)
