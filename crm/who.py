"""Who acts in the CRM: an employee, a program with a token, billing, or this program itself."""

from __future__ import annotations

from attrs import field, frozen

from crm.rights import ALL_RIGHTS, Right, Rights


class Refused(Exception):
    """What was asked was understood and is not done; the message says why and what to do."""


class Forbidden(Refused):
    """Who asks may not do this, or not there."""


class NotFound(Refused, LookupError):
    """There is no such thing, or none that who asks may see: the two look alike on purpose."""


class Invalid(Refused, ValueError):
    """What was entered cannot be taken: for each field ("" for the whole) what is wrong with it."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {why}" if name else why for name, why in errors.items()))
        self.errors = errors


class Conflict(Refused):
    """It would clash with what is there (a name that is taken, something that is still used)."""


@frozen
class Who:
    """Who asks: `by` for the history ("employee:7", "token:3", "billing", "system"), `name` as shown, `address` (IP)."""

    by: str
    name: str
    rights: Rights = field(repr=False)
    address: str = ""

    def need(self, right: Right) -> None:
        """Raises Forbidden: it holds nowhere."""
        if not self.rights.may(right):
            raise Forbidden(f"{self.name} has no right {right.value}: whoever keeps the groups can give it")

    def need_everywhere(self, right: Right) -> None:
        """Raises Forbidden: it holds nowhere, or only within some houses."""
        if not self.rights.may_everywhere(right):
            raise Forbidden(f"this needs the right {right.value} everywhere, which {self.name} does not have")


SYSTEM = Who("system", "teledom", ALL_RIGHTS)
BILLING = Who("billing", "billing", ALL_RIGHTS)
COMMAND_LINE = Who("command line", "command line", ALL_RIGHTS)
