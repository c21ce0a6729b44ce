"""When a campaign will be through: from how many flats it called in the open hours that it had. Pure functions."""

from __future__ import annotations

from attrs import frozen

from crm.values.quality import OVER, Campaign, Hours, Progress, is_open, next_open

STEP_S = 900.0  # hours begin and end at full quarters, mostly
DAYS_MAX = 400


@frozen
class Forecast:
    """`per_hour`: flats done in an open hour so far; `ends_at` (UTC seconds). None: not known."""

    per_hour: float | None
    ends_at: float | None


def forecast(campaign: Campaign, progress: Progress, now: float) -> Forecast:
    """How fast a campaign goes, and when it ends if it goes on so; a paused one as if it went on now."""
    until = campaign.ended_at if campaign.ended_at is not None else now
    zone = campaign.zones[0] if campaign.zones else "UTC"
    had_s = _open_s(campaign.hours, campaign.created_at, until, zone)
    per_hour = progress.done / had_s * 3600 if progress.done and had_s > 0 else None
    left = progress.waiting + progress.calling
    if campaign.state in OVER:
        return Forecast(per_hour, None)
    if per_hour is None or not left:
        return Forecast(per_hour, None)
    return Forecast(per_hour, _after_open(campaign.hours, now, left / per_hour * 3600, zone))


def _open_s(hours: Hours, since: float, until: float, zone: str) -> float:
    """How much of a time the hours are open [s]."""
    since = max(since, until - DAYS_MAX * 86400)
    found, at = 0.0, since
    while at < until:
        if is_open(hours, at, zone):
            found += min(STEP_S, until - at)
            at += STEP_S
        else:
            at = next_open(hours, at, zone)
    return found


def _after_open(hours: Hours, now: float, needed_s: float, zone: str) -> float | None:
    """When `needed_s` of open hours have passed; None: not within `DAYS_MAX` days."""
    at = next_open(hours, now, zone)
    last = now + DAYS_MAX * 86400
    while needed_s > STEP_S and at < last:
        at += STEP_S
        needed_s -= STEP_S
        at = next_open(hours, at, zone)
    return at + needed_s if at < last else None
