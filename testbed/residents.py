"""What comes from a handset in a quality call: sound for a panel of baresip to play from the answer on.

Whoever lifts it listens to both prompts, and says something after each; the verdict is known.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.recording import Verdict
from testbed.debs import Tree
from testbed.prompts import RATE, SOUNDS, speak

VOICE = "ru+f2"  # not that of the prompts, or it would be taken for their echo
TALK = "Алло, да, слушаю вас, слышно хорошо"
SECONDS = 40  # longer than a quality call
LISTENED_S = 4.0  # after the first prompt, at most


class Handset(Enum):
    """A handset, by the verdict that a call to it should have."""

    GOOD = Verdict.GOOD
    NOISY = Verdict.NOISY
    ONE_WAY = Verdict.ONE_WAY
    DEAD = Verdict.DEAD


NOISE_DBFS = {Handset.GOOD: -60.0, Handset.NOISY: -22.0, Handset.ONE_WAY: -50.0, Handset.DEAD: -74.0}


def sound(tree: Tree, handset: Handset) -> NDArray[Any]:
    """Forty seconds of what comes from it, at 8 kHz, between -1 and 1; the same every time."""
    line: NDArray[Any] = np.random.default_rng(7).normal(
        scale=10 ** (NOISE_DBFS[handset] / 20), size=RATE * SECONDS
    )
    if handset in (Handset.ONE_WAY, Handset.DEAD):
        return line
    said = speak(tree, VOICE, TALK)[: int(2.5 * RATE)] * 0.7
    first = _prompt_s("quality-hello")
    for at_s in (first + 0.3, first + LISTENED_S + _prompt_s("quality-again") + 0.3):
        start = int(at_s * RATE)
        line[start : start + said.size] += said
    return line


def _prompt_s(name: str) -> float:
    return (SOUNDS / f"ru/teledom/{name}.alaw").stat().st_size / RATE
