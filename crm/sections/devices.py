"""Panels and relays: what they are, how they are reached, what they open.

Passwords are taken and never given. One that was entered for an address stays with that host: with another address it
must be entered anew, so that nobody can have it sent elsewhere.
"""

from __future__ import annotations

import hashlib
import time
from typing import Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from crm.changes import note_change
from crm.device_access import check_url, entrances_near, panels_near, relays_near
from crm.device_model import Relay, RelayChannel
from crm.model import DomophoneEntrance, Entrance, HouseEntrance, Vendor, table
from crm.panel_queue import wake_panels
from crm.relays import CHANNELS_MOST, RelayModel
from crm.resource import Field, Find, Kind, Link, Resource, Row, Values, choices
from crm.rights import Reach, Right
from crm.sections import ties
from crm.sections.panel_fields import DOMOPHONES, PANEL_FIELDS
from crm.sections.shared import clean_mac
from crm.who import Forbidden, Invalid, Who
from crm.model import Domophone

RELAYS, CHANNELS = table(Relay), table(RelayChannel)
SECTION = "Devices"
