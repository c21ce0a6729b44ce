"""Recordings and their pictures, passed on as they come from the node that made them: whole, or a range of bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import PurePosixPath
from typing import Any

from litestar import Request
from litestar.response import Stream

from crm.quality.desk import get_result
from crm.rights import Right
from crm.sections.quality import RESULTS_RESOURCE
from crm.site import Site, part, site_of
from crm.values.quality import Result
from crm.values.records import CallRecord
from crm.who import NotFound, Who

FILES = ("whole", "in", "out", "picture")


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

    # Nor how long it may be kept: what is for one's ears alone stays in no browser that somebody else uses after him.
    own = ("content-type", "cache-control")
    headers = {key: value for key, value in recording.headers.items() if key.lower() not in own}
    kind = recording.headers.get("content-type", "application/octet-stream")
    return Stream(pieces(), status_code=recording.status, media_type=kind, headers=headers)


async def recording_of(request: Request[Any, Any, Any], record: CallRecord) -> Stream:
    """The sound of a call that who asks may hear. Raises NotFound: it was not recorded."""
    if not record.recording:
        raise NotFound(f"call {record.call_id} was not recorded")
    return await pass_on(request, record.recording, record.node)


def heard(site: Site, who: Who, id: int, what: str) -> tuple[Result, str]:
    """A result whose file `who` may have, and its node. Raises Forbidden, NotFound."""
    if what != "picture":
        with site.store.reading() as connection:
            site.desk.get_in(connection, who, RESULTS_RESOURCE, id, Right.CALLS_LISTEN)
    return get_result(site.desk, who, id)


def file_of(result: Result, what: str) -> str:
    """The name of a result's file on its node. Raises NotFound."""
    name = result.picture if what == "picture" else result.recording
    if not name or what not in FILES:
        raise NotFound("this result has no such file")
    if what in ("in", "out"):
        path = PurePosixPath(name)
        return str(path.with_name(f"{path.stem}-{what}.wav"))
    return name
