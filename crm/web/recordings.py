"""Recordings and their pictures, passed on as they come from the node that made them: whole, or a range of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

from litestar import Request
from litestar.response import Stream

from crm.records import CallRecord
from crm.site import part, site_of
from crm.who import NotFound


async def pass_on(request: Request[Any, Any, Any], name: str, node: str) -> Stream:
    """The file `name` of a node, for whoever asks. Raises Refused (no nodes are set), or what the nodes say."""
    nodes = part(site_of(request), "nodes", "the recording")
    stack = AsyncExitStack()
    wanted = request.headers.get("range", "")
    recording = await stack.enter_async_context(nodes.recording(name, node, wanted=wanted))

    async def pieces() -> AsyncIterator[bytes]:
        async with stack:
            async for piece in recording.pieces:
                yield piece

    headers = {key: value for key, value in recording.headers.items() if key.lower() != "content-type"}
    kind = recording.headers.get("content-type", "application/octet-stream")
    return Stream(pieces(), status_code=recording.status, media_type=kind, headers=headers)


async def recording_of(request: Request[Any, Any, Any], record: CallRecord) -> Stream:
    """The sound of a call that who asks may hear. Raises NotFound: it was not recorded."""
    if not record.recording:
        raise NotFound(f"call {record.call_id} was not recorded")
    return await pass_on(request, record.recording, record.node)
