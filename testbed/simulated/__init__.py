"""A simulated Asterisk: ARI as teledom uses it, with scripted phones behind it, for loads and faults that no
real one gives.

It is checked against the real one by tests/conformance. `open_simulated()` runs it in this process, `python
-m testbed.simulated` in one of its own.
"""

from __future__ import annotations

from testbed.simulated.asterisk import Simulated
from testbed.simulated.faults import Faults
from testbed.simulated.load import Load, LoadSpec, Visit
from testbed.simulated.panels import PanelCall, PanelState
from testbed.simulated.phones import Phone
from testbed.simulated.server import open_simulated

__all__ = [
    "Faults",
    "Load",
    "LoadSpec",
    "PanelCall",
    "PanelState",
    "Phone",
    "Simulated",
    "Visit",
    "open_simulated",
]
