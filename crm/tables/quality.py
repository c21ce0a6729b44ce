"""The tables of quality calls: campaigns, tasks, results, and each flat's last verdict. Times are UTC, in seconds since
the epoch."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base
from crm.values.quality import CallType, CampaignState, Only, TaskState


class QualityCampaign(Base):
    """A campaign (quality.Campaign): `scope`, `hours` and `zones` are JSON.

    `made_to`: the last house whose flats are in it, of those by their ids; None: all of its `houses` are made.
    """

    __tablename__ = "quality_campaigns"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    kind: Mapped[CallType]
    scope: Mapped[str] = mapped_column(sa.Text)
    only: Mapped[Only]
    hours: Mapped[str] = mapped_column(sa.Text)
    zones: Mapped[str] = mapped_column(sa.Text)
    spacing_s: Mapped[float]
    per_house: Mapped[int]
    attempts: Mapped[int]
    attempt_spacing_s: Mapped[float]
    priority: Mapped[int]
    state: Mapped[CampaignState]
    created_at: Mapped[float]
    ended_at: Mapped[float | None]
    made_to: Mapped[int | None]
    houses: Mapped[int] = mapped_column(default=0)
    houses_made: Mapped[int] = mapped_column(default=0)
    flats_made: Mapped[int] = mapped_column(default=0)
    why: Mapped[str] = mapped_column(sa.Text, default="")


class QualityTask(Base):
    """A flat to be called through a panel at an entrance. It goes with its flat, its panel and its campaign."""

    __tablename__ = "quality_tasks"
    __table_args__ = (
        sa.UniqueConstraint("campaign_id", "flat_id"),
        sa.Index(None, "campaign_id", "state", "time_zone", "due_at", "id"),
        sa.Index(None, "campaign_id", "state", "verdict"),
        sa.Index(None, "domophone_id", "state", "due_at", "id"),
        sa.Index(None, "state", "house_id"),
        sa.Index(None, "flat_id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    campaign_id: Mapped[int | None] = mapped_column(sa.ForeignKey("quality_campaigns.id", ondelete="CASCADE"))
    kind: Mapped[CallType]
    flat_id: Mapped[int] = mapped_column(sa.ForeignKey("flats.id", ondelete="CASCADE"))
    domophone_id: Mapped[int] = mapped_column(sa.ForeignKey("domophones.id", ondelete="CASCADE"))
    entrance_id: Mapped[int]
    house_id: Mapped[int]
    time_zone: Mapped[str] = mapped_column(sa.String(64))
    state: Mapped[TaskState] = mapped_column(default=TaskState.WAITING)
    due_at: Mapped[float]
    attempts: Mapped[int] = mapped_column(default=0)
    node: Mapped[str] = mapped_column(sa.String(64), default="")
    started_at: Mapped[float | None]
    ended_at: Mapped[float | None]
    why: Mapped[str] = mapped_column(sa.Text, default="")
    verdict: Mapped[str] = mapped_column(sa.String(32), default="")


class QualityResult(Base):
    """What one call found out (quality.Result): the history. It outlives the flat, the task and the panel."""

    __tablename__ = "quality_results"
    __table_args__ = (
        sa.Index(None, "task_id"),
        sa.Index(None, "flat_id", "started_at"),
        sa.Index(None, "started_at"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    task_id: Mapped[int | None]
    flat_id: Mapped[int | None]
    campaign_id: Mapped[int | None]
    kind: Mapped[CallType]
    verdict: Mapped[str] = mapped_column(sa.String(32))
    confidence: Mapped[float]
    why: Mapped[str] = mapped_column(sa.Text)
    measures: Mapped[str] = mapped_column(sa.Text)
    line: Mapped[str] = mapped_column(sa.Text)
    line_level: Mapped[float | None]
    recording: Mapped[str]
    picture: Mapped[str]
    call_id: Mapped[str] = mapped_column(sa.String(64))
    panel: Mapped[str] = mapped_column(sa.String(64))
    attempt: Mapped[int]
    started_at: Mapped[float]
    ended_at: Mapped[float]


class QualityFlat(Base):
    """What a flat's handset was last found to be, `at` the end of that call."""

    __tablename__ = "quality_flats"
    flat_id: Mapped[int] = mapped_column(sa.ForeignKey("flats.id", ondelete="CASCADE"), primary_key=True)
    verdict: Mapped[str] = mapped_column(sa.String(32))
    at: Mapped[float]
    result_id: Mapped[int]
