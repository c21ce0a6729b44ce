"""`Bridge`: a bridge of ours, as an async context manager that knows its id before it asks."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from urllib.parse import quote

from telephony.ari.channels import Leg, Refused, ignore
from telephony.ari.client import Ari
from telephony.ari.events import Reply
from telephony.ari.lane import Lane, Request


class Bridge:
    """A mixing bridge. `dtmf_events` in its type: digits pass it, and are reported."""

    KIND = "mixing,dtmf_events"

    def __init__(
        self,
        ari: Ari,
        lane: Lane,
        bridge_id: str,
        refused: Callable[[Refused], None],
        *,
        stay: Callable[[], bool] | None = None,
    ) -> None:
        self.id = bridge_id
        self._ari = ari
        self._lane = lane
        self._refused = refused
        self._path = f"bridges/{quote(bridge_id, safe='')}"
        self._adopted = False
        self._stay = stay

    def adopt(self) -> Bridge:
        """This bridge is there already: entering does not make it anew."""
        self._adopted = True
        return self

    async def __aenter__(self) -> Bridge:
        if self.id in self._ari.bridges:
            raise ValueError(f"the bridge {self.id} has an owner already")
        self._ari.bridges.add(self.id)
        if not self._adopted:
            self._post(Request("POST", self._path, {"type": self.KIND}))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ari.bridges.discard(self.id)
        if self._stay is not None and self._stay():
            return
        self._ari.post_surely(self._lane, Request("DELETE", self._path), ignore)

    def add(self, *legs: Leg) -> None:
        """Put legs in; ChannelEnteredBridge of each says that it is."""
        self._post(Request("POST", f"{self._path}/addChannel", {"channel": ",".join(leg.id for leg in legs)}))

    def _post(self, request: Request) -> None:
        def settle(reply: Reply) -> None:
            if not 200 <= reply.status_code < 300:
                self._refused(
                    Refused(str(request), reply.status_code, reply.message_body or reply.reason_phrase)
                )

        self._lane.post(request, settle)
