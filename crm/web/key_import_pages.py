"""Many keys pasted in: what each line can mean in each byte order and what of it is known, and then the import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar import Response, get, post

from crm.keys.formats import KeyFormat
from crm.keys.many import Guess, Line, guess_format, import_keys, preview
from crm.rights import Right
from crm.sections.keys import FORMATS, TECHNOLOGIES
from crm.site import site_of
from crm.tables.keys import Technology
from crm.web.key_forms import Form, binding_of, binding_text, errors_of, scopes_for, text_of
from crm.web.page import Asked, render
from crm.who import Conflict, Forbidden, Invalid, NotFound

BASE = "/key/import"
LINES_MOST = 5000
LINES_SHOWN = 200
FORMATS_SHOWN = 5
_REFUSED = (Invalid, Conflict, Forbidden, NotFound)


@get(BASE, sync_to_thread=True)
def import_page(request: Asked) -> Response[str]:
    request.user.who.need(Right.KEYS_EDIT)
    asked = request.query_params
    ref = binding_text(site_of(request), request.user.who, asked.get("scope", ""), asked.get("ref", ""))
    return _form(request, {"scope": asked.get("scope", ""), "ref": ref}, {})


@post(f"{BASE}/preview", sync_to_thread=True, status_code=200)
def preview_page(request: Asked, data: Form) -> Response[str]:
    texts = _texts(data)
    try:
        lines = _lines(texts["lines"])
        found = preview(site_of(request).store, request.user.who, lines)
    except Invalid as error:
        return _form(request, texts, errors_of(error))
    return _form(request, texts, {}, found)


@post(BASE, sync_to_thread=True, status_code=200)
def import_all(request: Asked, data: Form) -> Response[Any]:
    site, who = site_of(request), request.user.who
    texts = _texts(data)
    try:
        lines = _lines(texts["lines"])
        if texts["format"] not in [each.value for each in KeyFormat]:
            found = preview(site.store, who, lines)
            return _form(request, texts, {"format": "choose in which way all of them are written"}, found)
        bindings = binding_of(data)
        technology = texts["technology"]
        done = import_keys(
            site.store,
            who,
            [(line, bindings) for line in lines],
            KeyFormat(texts["format"]),
            site.now(),
            technology=Technology(technology) if technology in [t.value for t in Technology] else None,
            note=texts["note"].strip()[:200],
        )
    except _REFUSED as error:
        errors = errors_of(error)
        lines = [each.strip() for each in texts["lines"].splitlines() if each.strip()][:LINES_MOST]
        return _form(request, texts, errors, preview(site.store, who, lines))
    return render(request, "key_imported.html", done=done)


def _lines(text: str) -> list[str]:
    """Raises Invalid."""
    lines = [each.strip() for each in text.splitlines() if each.strip()]
    if not lines:
        raise Invalid({"lines": "a key on each line is expected"})
    if len(lines) > LINES_MOST:
        raise Invalid({"lines": f"at most {LINES_MOST} lines go in at once: import a file instead"})
    return lines


def _form(
    request: Asked,
    texts: Mapping[str, str],
    errors: Mapping[str, str],
    lines: tuple[Line, ...] = (),
) -> Response[str]:
    guesses = guess_format(lines)
    chosen = texts.get("format", "") or (guesses[0].format.value if guesses else "")
    shown: list[Guess] = list(guesses[:FORMATS_SHOWN])
    shown += [each for each in guesses[FORMATS_SHOWN:] if each.format.value == chosen]
    return render(
        request,
        "key_import.html",
        status=422 if errors else 200,
        texts=texts,
        errors=errors,
        errors_beside={
            n: why
            for n, why in errors.items()
            if not n.isdigit() and n not in ("lines", "ref", "bindings", "format")
        },
        line_errors={int(n): why for n, why in errors.items() if n.isdigit()},
        technologies=TECHNOLOGIES,
        scopes=scopes_for(site_of(request), request.user.who),
        everywhere=request.user.who.rights.may_everywhere(Right.KEYS_EDIT),
        lines=[(line, _by_format(line)) for line in lines[:LINES_SHOWN]],
        total=len(lines),
        unreadable=sum(not each.readings for each in lines),
        guesses=shown,
        formats=FORMATS,
        chosen=chosen,
    )


def _by_format(line: Line) -> dict[KeyFormat, str]:
    """The UID that a line means in each format: what the import takes."""
    found: dict[KeyFormat, str] = {}
    for each in line.readings:
        found.setdefault(each.format, each.uid)
    return found


def _texts(data: Mapping[str, Any]) -> dict[str, str]:
    return {name: text_of(data, name) for name in ("lines", "scope", "ref", "technology", "format", "note")}


PAGES: list[Any] = [import_page, preview_page, import_all]
