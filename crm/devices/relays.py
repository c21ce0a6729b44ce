"""What a relay is: whose dialect it speaks, and how many channels it may have. Its record is crm.sections.relays'."""

from __future__ import annotations

from enum import Enum

CHANNELS_MOST = 64


class RelayModel(Enum):
    """Whose dialect a relay speaks (telephony/relays.py)."""

    SHELLY_1 = "shelly-1"  # of the first generation
    SHELLY_2 = "shelly-2"  # of all later ones
