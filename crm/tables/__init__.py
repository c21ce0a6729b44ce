"""All tables of the CRM, so that each finds what it refers to: whoever opens the database has them."""

from __future__ import annotations

import crm.tables.billing
import crm.tables.blocks
import crm.tables.calls
import crm.tables.companies
import crm.tables.devices
import crm.tables.imports
import crm.tables.keys
import crm.tables.people
import crm.tables.quality
import crm.tables.search
import crm.tables.sos
import crm.tables.staff  # noqa: F401
from crm.model import Base

METADATA = Base.metadata
