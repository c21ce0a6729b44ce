"""A node with recordings in memory, as far as pages and the API ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from attrs import field, frozen

from nodes import NodeRefused, Recording


@frozen
class RecordedNodes:
    """`files` by name; `asked` keeps what was asked for: name, node, range."""

    files: Mapping[str, bytes]
    asked: list[tuple[str, str, str]] = field(factory=list)

    @asynccontextmanager
    async def recording(self, name: str, node: str = "", *, wanted: str = "") -> AsyncIterator[Recording]:
        self.asked.append((name, node, wanted))
        if name not in self.files:
            raise NodeRefused(404, f"the node has no recording {name}")
        content, status = self.files[name], 200
        headers = {"content-type": "audio/wav", "accept-ranges": "bytes"}
        headers["cache-control"] = "private, max-age=3600"  # as node_api.py says it
        if wanted == "bytes=1-2":
            content, status = content[1:3], 206
            headers["content-range"] = f"bytes 1-2/{len(self.files[name])}"

        async def pieces() -> AsyncIterator[bytes]:
            yield content

        yield Recording(status, headers | {"content-length": str(len(content))}, pieces())
