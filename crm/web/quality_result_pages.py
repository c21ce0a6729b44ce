"""The pages of quality results: one with its measures, picture and sound, a house's grid, and a flat tested now."""

from __future__ import annotations

from typing import Any

import msgspec
import sqlalchemy as sa
import trio
from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect, Stream
from markupsafe import Markup

from crm.desk.resource import Row
from crm.housing.grid import zone_of
from crm.model import Flat
from crm.quality.desk import ask_test, get_result, look_at_test
from crm.quality.grid import draw
from crm.quality.results import house_grid
from crm.quality.words import AT_LEAST, line_words, measure_words, why_words
from crm.recordings import file_of, heard, pass_on
from crm.rights import Right
from crm.sections.housing import HOUSES_RESOURCE
from crm.site import Site, site_of
from crm.values.quality import Result, TaskState
from crm.web import language as languages
from crm.web.grid_looks import handset_look
from crm.web.page import Action, Asked, language_of, render

MEASURES = {True: "fine", False: "act", None: "off"}
TASKS = {
    TaskState.WAITING: "look",
    TaskState.CALLING: "fine",
    TaskState.DONE: "off",
    TaskState.STOPPED: "off",
}


def result_page(site: Site, request: Asked, row: Row) -> Response[str]:
    """A result: the verdict, and what it stands on."""
    result, node = get_result(site.desk, request.user.who, row.id)
    return render(
        request, "quality_result.html", id=row.id, node=node, row=row, **_result(site, request, result)
    )


def _result(site: Site, request: Asked, result: Result) -> dict[str, Any]:
    zone = ""
    house = None
    say = languages.translations(language_of(request)).gettext
    with site.store.reading() as connection:
        if result.flat_id is not None:
            house = connection.scalar(sa.select(Flat.house_id).where(Flat.id == result.flat_id))
            zone = zone_of(connection, house) if house is not None else ""
    return {
        "result": result,
        "zone": zone,
        "house_id": house,
        "look": handset_look(result.verdict),
        "why": why_words(result.why, say),
        "line": line_words(result.line, say),
        "measures": [
            (measure_words(each["name"], say), "≥" if each["name"] in AT_LEAST else "≤", each)
            for each in msgspec.json.decode(result.measures)
        ],
        "measure_looks": MEASURES,
        "listens": request.user.who.rights.may(Right.CALLS_LISTEN),
        "has_nodes": site.parts.get("nodes") is not None,
    }


@get("/quality/results/{id:int}/{what:str}")
async def result_file(request: Asked, id: FromPath[int], what: FromPath[str]) -> Stream:
    """The sound of both ("whole"), of the flat ("in"), what it heard ("out"), or the "picture"."""
    result, node = await trio.to_thread.run_sync(heard, site_of(request), request.user.who, id, what)
    return await pass_on(request, file_of(result, what), node)


@get("/quality/houses/{id:int}", sync_to_thread=True)
def house_page(request: Asked, id: FromPath[int]) -> Response[str]:
    """A house's flats by their handsets' last verdicts, as a picture."""
    site, who = site_of(request), request.user.who
    with site.store.reading() as connection:
        site.desk.get_in(connection, who, HOUSES_RESOURCE, id, Right.QUALITY_VIEW)
    grid = house_grid(site.store, id)
    picture = Markup(draw(grid))  # escaped by who draws it
    return render(request, "quality_house.html", id=id, address=grid.address, picture=picture)


@post("/quality/flats/{id:int}/test", sync_to_thread=True, status_code=200)
def test_now(request: Asked, id: FromPath[int]) -> Redirect:
    """Have a flat's handset called now; the answer comes to the page that this leads to."""
    site = site_of(request)
    task = ask_test(site.desk, request.user.who, id, site.now())
    return Redirect(f"/quality-tasks/{task}", status_code=303)


def task_page(site: Site, request: Asked, row: Row) -> Response[str]:
    """A task, whose state comes by itself until it has ended."""
    return _task(site, request, row.id, "quality_task.html")


@get("/quality/tasks/{id:int}", sync_to_thread=True)
def task_part(request: Asked, id: FromPath[int]) -> Response[str]:
    """Its state alone."""
    return _task(site_of(request), request, id, "quality_task_state.html")


def _task(site: Site, request: Asked, id: int, template: str) -> Response[str]:
    task, result, result_id = look_at_test(site.desk, request.user.who, id)
    with site.store.reading() as connection:
        zone = zone_of(connection, task.house_id)
    say = languages.translations(language_of(request)).gettext
    return render(
        request,
        template,
        why=why_words(task.why, say),
        result_why="" if result is None else why_words(result.why, say),
        task=task,
        result=result,
        result_id=result_id,
        look=handset_look(task.verdict) if task.verdict else None,
        states=TASKS,
        goes_on=task.state in (TaskState.WAITING, TaskState.CALLING),
        zone=zone,
    )


def flat_actions(site: Site, request: Asked, row: Row) -> list[Action]:
    """What a flat's page has of quality calls."""
    if not request.user.who.rights.may(Right.QUALITY_EDIT):
        return []
    return [Action("Test the handset now", f"/quality/flats/{row.id}/test", "signal")]


HANDLERS: list[Any] = [result_file, house_page, test_now, task_part]
