"""What comes from a handset while a quality call listens: sound for a panel of baresip to play.

Who lifts the handset talks all the time, so that no prompt needs to be waited for; a verdict is known of each.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from telephony.recording import Verdict
from testbed.debs import Tree
from testbed.prompts import RATE, speak

TALK = "Алло, да, слушаю вас, слышно хорошо, говорю несколько слов, раз, два, три, четыре, пять"
SECONDS = 40  # longer than a quality call


class Handset(Enum):
    """A handset, by the verdict that a call to it should have."""

    GOOD = Verdict.GOOD
    NOISY = Verdict.NOISY
    ONE_WAY = Verdict.ONE_WAY
    DEAD = Verdict.DEAD


NOISE_DBFS = {Handset.GOOD: -60.0, Handset.NOISY: -22.0, Handset.ONE_WAY: -50.0, Handset.DEAD: -74.0}


def sound(tree: Tree, handset: Handset) -> NDArray[Any]:
    """Forty seconds of what comes from it, at 8 kHz, between -1 and 1; the same every time."""
    line = np.random.default_rng(7).normal(scale=10 ** (NOISE_DBFS[handset] / 20), size=RATE * SECONDS)
    if handset in (Handset.ONE_WAY, Handset.DEAD):
        return line
    voice = np.concatenate([speak(tree, "ru", TALK) * 0.7, np.zeros(RATE // 2)])
    said: NDArray[Any] = np.resize(voice, line.size) + line
    return said
