"""All tables of the CRM, so that each finds what it refers to: whoever opens the database has them."""

from __future__ import annotations

import crm.billing_model
import crm.block_model
import crm.call_model
import crm.company_model
import crm.device_model
import crm.import_model
import crm.key_model
import crm.people_model
import crm.quality_model
import crm.search_model
import crm.sos_model
import crm.staff_model  # noqa: F401
from crm.model import Base

METADATA = Base.metadata
