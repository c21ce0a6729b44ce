"""Keys: a key added as it is written, what it opens, lost and found again; what its page shows beside its facts.

Lists and records are pages as all have; what changes keys is posted under /key. Many at once: key_import_pages.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from litestar import Response, get, post
from litestar.params import FromPath
from litestar.response import Redirect

from crm.desk.resource import Row
from crm.keys.formats import KeyFormat, ways, written
from crm.keys.keys import (
    add_key,
    change_bindings,
    find_key_again,
    find_keys,
    get_key,
    lose_key,
    panels_of_key,
)
from crm.keys.many import preview
from crm.keys.panels import told_of_key
from crm.keys.reach import Binding
from crm.rights import Right
from crm.sections.keys import FORMATS, KEYS_RESOURCE, SCOPES, TECHNOLOGIES
from crm.site import Site, site_of
from crm.tables.keys import KeyScope, Technology
from crm.web import key_import_pages
from crm.web.key_forms import (
    Form,
    binding_of,
    binding_text,
    errors_of,
    options_for,
    scopes_for,
    text_of,
)
from crm.web.menu import Item
from crm.web.page import Action, Asked, Extra, Panel, render, with_query
from crm.web.record_pages import show_record
from crm.who import Conflict, Forbidden, Invalid, NotFound, Refused

BASE = "/key"
PANELS_SHOWN = 100
_REFUSED = (Invalid, Conflict, Forbidden, NotFound)


@get(f"{BASE}/add", sync_to_thread=True)
def add_page(request: Asked) -> Response[str]:
    """The form; the address may say what is typed and what the key is to open: uid, scope, ref. `added` is the key that
    was added before this one, to the same.
    """
    request.user.who.need(Right.KEYS_EDIT)
    asked = request.query_params
    texts = {name: asked[name] for name in ("uid", "note", "technology", "scope") if asked.get(name)}
    texts["ref"] = binding_text(
        site_of(request), request.user.who, asked.get("scope", ""), asked.get("ref", "")
    )
    return _form(request, texts, {}, _added(request, asked.get("added", "")))


@get(f"{BASE}/readings", sync_to_thread=True)
def readings_part(request: Asked) -> Response[str]:
    """What a text can mean, and what of that is known: a part of the form."""
    request.user.who.need(Right.KEYS_EDIT)
    text = request.query_params.get("uid", "")[:100]
    return render(request, "key_readings.html", **_readings(request, text, ""))


@get(f"{BASE}/pick", sync_to_thread=True)
def pick_part(request: Asked) -> Response[str]:
    """Suggestions for what a key opens, of the kind that is chosen beside."""
    asked = request.query_params
    return render(request, "options.html", found=options_for(site_of(request), request.user.who, asked))


@post(f"{BASE}/add", sync_to_thread=True, status_code=200)
def add(request: Asked, data: Form) -> Response[Any]:
    site = site_of(request)
    format, _, uid = text_of(data, "reading").partition(":")
    try:
        bindings = binding_of(data)
        id = add_key(
            site.store,
            request.user.who,
            text_of(data, "uid"),
            bindings,
            site.now(),
            format=_format(format),
            uid=uid,
            technology=_technology(text_of(data, "technology")),
            note=text_of(data, "note").strip()[:200],
        )
    except _REFUSED as error:
        texts = {
            each: text_of(data, each) for each in ("uid", "note", "technology", "scope", "ref", "reading")
        }
        return _form(request, texts, errors_of(error))
    if text_of(data, "next"):
        same = {name: text_of(data, name) for name in ("scope", "technology", "note")}
        same["ref"] = str(bindings[0].ref_id) if bindings else ""
        return Redirect(with_query(f"{BASE}/add", {**same, "added": id}), status_code=303)
    return Redirect(f"/keys/{id}", status_code=303)


@post(f"{BASE}/{{id:int}}/bind", sync_to_thread=True, status_code=200)
def bind(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    def more(site: Site) -> None:
        bindings = binding_of(data)
        if not bindings:
            raise Invalid({"ref": "choose what the key is to open"})
        change_bindings(site.store, request.user.who, id, site.now(), add=bindings)

    return _do(request, id, more)


@post(f"{BASE}/{{id:int}}/unbind/{{kind:str}}/{{ref:int}}", sync_to_thread=True, status_code=200)
def unbind(request: Asked, id: FromPath[int], kind: FromPath[str], ref: FromPath[int]) -> Response[Any]:
    def less(site: Site) -> None:
        if kind not in [each.value for each in KeyScope]:
            raise NotFound(f"keys are bound to nothing called {kind}")
        binding = Binding(KeyScope(kind), ref)
        change_bindings(site.store, request.user.who, id, site.now(), remove=[binding])

    return _do(request, id, less)


@post(f"{BASE}/{{id:int}}/lost", sync_to_thread=True, status_code=200)
def lost(request: Asked, id: FromPath[int], data: Form) -> Response[Any]:
    why = text_of(data, "why").strip()[:200]
    return _do(request, id, lambda site: lose_key(site.store, request.user.who, id, why, site.now()))


@post(f"{BASE}/{{id:int}}/found", sync_to_thread=True, status_code=200)
def found_again(request: Asked, id: FromPath[int]) -> Response[Any]:
    return _do(request, id, lambda site: find_key_again(site.store, request.user.who, id, site.now()))


# --- within --------------------------------------------------------------------------------------------------------


def _do(request: Asked, id: int, work: Callable[[Site], None]) -> Response[Any]:
    """Do something to a key; why it is not done is said on its page."""
    site = site_of(request)
    row = site.desk.get(request.user.who, KEYS_RESOURCE, id)
    try:
        work(site)
    except _REFUSED as error:
        return show_record(request, KEYS_RESOURCE, row, errors=errors_of(error), status=422)
    return Redirect(f"/keys/{id}", status_code=303)


def _added(request: Asked, id: str) -> Row | None:
    if not id.isdigit():
        return None
    try:
        return site_of(request).desk.get(request.user.who, KEYS_RESOURCE, int(id))
    except Refused:
        return None


def _form(
    request: Asked, texts: Mapping[str, str], errors: Mapping[str, str], added: Row | None = None
) -> Response[str]:
    who = request.user.who
    return render(
        request,
        "key_form.html",
        status=422 if errors else 200,
        texts=texts,
        added=added,
        errors=errors,
        errors_beside={n: why for n, why in errors.items() if n not in ("uid", "ref", "bindings")},
        technologies=TECHNOLOGIES,
        scopes=scopes_for(site_of(request), who),
        everywhere=who.rights.may_everywhere(Right.KEYS_EDIT),
        **_readings(request, texts.get("uid", ""), texts.get("reading", "")),
    )


def _readings(request: Asked, text: str, chosen: str) -> dict[str, Any]:
    """What a text can mean, the surest first; `certain`: one of them surely is meant."""
    site, who = site_of(request), request.user.who
    found = ways(text)
    lines = preview(site.store, who, [text])
    known = lines[0].known if lines else frozenset()
    by_uid = {}
    if known and who.rights.may(Right.KEYS_VIEW):
        by_uid = {each.uid: each.id for each in find_keys(site.store, who, text)}
    best = {each.uid for each in found if each.sure is found[0].sure}
    if not chosen and len(best) == 1:
        chosen = f"{found[0].format.value}:{found[0].uid}"
    return {
        "text": text,
        "readings": found,
        "formats": FORMATS,
        "known": known,
        "ids": by_uid,
        "chosen": chosen,
    }


def _panels(site: Site, request: Asked, row: Row) -> list[Panel]:
    who = request.user.who
    key = get_key(site.store, who, row.id)
    with site.store.reading() as connection:
        told = told_of_key(connection, who.rights.reach(Right.KEYS_VIEW), row.id)
    context = {
        "key": key,
        "ways": [(FORMATS[format], text) for format, text in written(key.uid).items()],
        "bindings": [
            (binding, SCOPES[binding.scope][0], SCOPES[binding.scope][1], title)
            for binding, title in key.bindings
        ],
        "told": told,
        "at_panels": panels_of_key(site.store, who, row.id, PANELS_SHOWN),
        "may_edit": who.rights.may(Right.KEYS_EDIT),
        "scopes": scopes_for(site, who),
        "at": f"{BASE}/{row.id}",
    }
    return [Panel("key_panel.html", context)]


def _above(site: Site, request: Asked) -> list[Action]:
    if not request.user.who.rights.may(Right.KEYS_EDIT):
        return []
    return [
        Action("Add a key", f"{BASE}/add", "plus", get=True),
        Action("Paste in many", f"{BASE}/import", "clipboard-document-list", get=True),
    ]


def _format(text: str) -> KeyFormat | None:
    return KeyFormat(text) if text in [each.value for each in KeyFormat] else None


def _technology(text: str) -> Technology | None:
    return Technology(text) if text in [each.value for each in Technology] else None


PAGES: list[Any] = [
    add_page,
    readings_part,
    pick_part,
    add,
    bind,
    unbind,
    lost,
    found_again,
    *key_import_pages.PAGES,
]
EXTRAS: Mapping[str, Extra] = {KEYS_RESOURCE.name: Extra(panels=_panels, above=_above)}
ITEMS: tuple[Item, ...] = ()
