"""How a benchmark says its figures: `key=value` pairs, and percentiles."""

from __future__ import annotations

import math
from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` (0 to 1) of all do not exceed; 0 where there are none."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def figures(**values: float | int | str) -> str:
    """One line of `key=value`."""
    return " ".join(f"{key}={_shown(value)}" for key, value in values.items())


def _shown(value: float | int | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
