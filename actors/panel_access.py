"""From how a panel or relay is reached, as the CRM keeps it, to what its driver takes: the password is unsealed here."""

from __future__ import annotations

from crm.devices.panel_access import StoredAccess
from crm.sealed import Seal
from telephony.panels.interface import PanelAccess


def unsealed(access: StoredAccess, secret_key: str) -> PanelAccess:
    """The same with its password in the open. Raises SealError: it was sealed with another key."""
    return PanelAccess(
        vendor=access.vendor,
        url=access.url,
        user=access.user,
        password=Seal(secret_key).open(access.sealed) if access.sealed else "",
        pin=access.pin,
    )
