"""The live board in the API: one look at real nodes."""

from __future__ import annotations

import time

import httpx
import trio

from crm.rights import Reach, Right
from crm.staff.groups import create_group
from crm.staff.tokens import create_token
from crm.store import Store
from crm.who import COMMAND_LINE
from tests.crm.houses import Houses
from tests.crm.web.site import TestSite
from tests.crm.web.test_board_pages import answer, call, open_stage


def secret(site: TestSite, right: Right, reach: Reach) -> str:
    """A token that has this right, as far as `reach`."""
    now, group = time.time(), None
    if not reach.everywhere:
        group = create_group(site.store, COMMAND_LINE, "bounded", [right], reach, now)
    return create_token(site.store, COMMAND_LINE, "a program", [right], group, now + 3600, now).secret


async def test_one_look_at_the_board_within_the_tokens_reach(store: Store) -> None:
    houses = Houses(store)
    mine = houses.house("1")
    houses.panel("p1", houses.entrance("п. 1", mine))
    async with open_stage(store) as stage:
        stage.node.answer = answer(call("a", "p1"), call("b", "p2", kind="sos", ago_s=9))
        for reach, expected in (
            (Reach(everywhere=True), ["b", "a"]),
            (Reach(houses=frozenset({mine})), ["a"]),
        ):
            token = secret(stage.site, Right.BOARD_VIEW, reach)
            headers = {"authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(base_url=stage.url, headers=headers, timeout=20) as client:
                with trio.fail_after(20):
                    board = (await client.get("/api/v1/board")).json()
            assert [each["call_id"] for each in board["calls"]] == expected
            assert bool(board["nodes"]) is reach.everywhere
            assert board["now"]["ringing"] == len(expected)
        token = secret(stage.site, Right.KEYS_VIEW, Reach(everywhere=True))
        async with httpx.AsyncClient(base_url=stage.url, timeout=20) as client:
            answered = await client.get("/api/v1/board", headers={"authorization": f"Bearer {token}"})
            assert answered.status_code == 403
