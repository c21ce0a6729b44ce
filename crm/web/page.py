"""How a page is made: who asks, what a section adds to a record's page, and `render`.

A page handler is a plain function in a worker thread (`sync_to_thread=True`): it asks the desk, and renders. `Asked` is
its request: `request.user` is who is signed in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import django_htmx
import jinja2
from attrs import frozen
from heroicons.jinja import heroicon_outline
from litestar import MediaType, Request, Response
from litestar.datastructures import State
from litestar.utils.scope.state import ScopeState

from crm.desk.resource import Row
from crm.rights import Right
from crm.site import Site, site_of
from crm.web import language as languages
from crm.web import show
from crm.web.menu import Section, path_of
from crm.who import Who

HERE = Path(__file__).resolve().parent
# What comes with installed packages, by the name under which we serve it.
INSTALLED = {"htmx.js": Path(django_htmx.__file__).parent / "static/django_htmx/htmx-2.min.js"}


@frozen
class SignedIn:
    """Who is signed in, in which session. `fresh_s`: how long ago the password was given."""

    who: Who
    employee_id: int
    login: str
    language: str
    session_id: str


Asked = Request[SignedIn, Any, State]


@frozen
class Panel:
    """A part of a record's page that a section adds: a template, and what it shows."""

    template: str
    context: Mapping[str, Any]


@frozen
class Action:
    """A button on a record's page: it posts to `path`, or with `get` it leads there. `confirm` asks first."""

    label: str
    path: str
    icon: str = ""
    get: bool = False
    confirm: str = ""


@frozen
class Extra:
    """What a section adds to a resource's record page; its functions are asked for each page."""

    panels: Callable[[Site, Asked, Row], list[Panel]] | None = None
    actions: Callable[[Site, Asked, Row], list[Action]] | None = None
    whole: Callable[[Site, Asked, Row], Response[str]] | None = None  # a page of its own instead
    above: Callable[[Site, Asked], list[Action]] | None = None  # buttons above its list
    shown: frozenset[str] = frozenset()  # names of links that its panels show, and the page need not


def language_of(request: Request[Any, Any, Any]) -> str:
    """The language of whoever asks: an employee's own, else the cookie's, else the browser's."""
    user = request.scope.get("user")
    if isinstance(user, SignedIn):
        return user.language
    cookie = request.cookies.get("language", "")
    return (
        cookie
        if cookie in languages.LANGUAGES
        else languages.preferred(request.headers.get("accept-language", ""))
    )


def translate(request: Request[Any, Any, Any], text: str) -> str:
    """`text` in the language of whoever asks."""
    return languages.translations(language_of(request)).gettext(text) if text else ""


def clock_of(request: Request[Any, Any, Any]) -> show.Clock:
    """The clock of a page for whoever asks."""
    site = site_of(request)
    return show.Clock(site.now(), ZoneInfo(site.config.time_zone), language_of(request))


def render(
    request: Request[Any, Any, Any], template: str, *, status: int = 200, **context: Any
) -> Response[str]:
    """The page `template` with `context`, in the language of whoever asks."""
    return Response(page(request, template, **context), media_type=MediaType.HTML, status_code=status)


def page(request: Request[Any, Any, Any], template: str, **context: Any) -> str:
    """The same as text."""
    site, language = site_of(request), language_of(request)
    user = request.scope.get("user")
    signed_in = user if isinstance(user, SignedIn) else None
    clock = clock_of(request)
    everywhere = {
        "site": site,
        "request": request,
        "user": signed_in,
        "language": language,
        "languages": languages.LANGUAGES,
        "clock": clock,
        "path": request.url.path,
        "csrf": _csrf(request),
        "is_part": request.headers.get("hx-request") == "true"
        and request.headers.get("hx-boosted") != "true",
        "menu": _menu(request, signed_in),
        "may": (lambda right: signed_in is not None and signed_in.who.rights.may(Right(right))),
    }
    return environment(language).get_template(template).render(everywhere | context)


def _menu(request: Request[Any, Any, Any], user: SignedIn | None) -> tuple[Section, ...]:
    return request.app.state.menu.for_rights(user.who.rights) if user else ()


def _csrf(request: Request[Any, Any, Any]) -> str:
    token = ScopeState.from_scope(request.scope).csrf_token
    config = request.app.csrf_config
    assert config is not None
    return token if isinstance(token, str) else request.cookies.get(config.cookie_name, "")


@cache
def environment(language: str) -> jinja2.Environment:
    """The templates, in a language."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n", "jinja2.ext.do"],
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.install_gettext_translations(languages.translations(language), newstyle=True)  # type: ignore[attr-defined]
    made.globals |= {"icon": icon, "static": static, "with_query": with_query}
    made.filters |= show.FILTERS
    # Not `_`: what a message says may come from anywhere, so it is escaped, and a "%" in it is a "%".
    made.filters["path_of"] = path_of
    made.filters["said"] = partial(languages.say, language)
    made.filters["worded"] = partial(show.worded, language=language)
    made.filters["duration"] = partial(show.duration, language=language)
    return made


def compile_templates() -> None:
    """Make all templates ready, so that the first to open a page does not wait for that: it takes about a second."""
    for language in languages.LANGUAGES:
        made = environment(language)
        for name in made.list_templates():
            made.get_template(name)


@cache
def icon(name: str) -> str:
    """An icon as SVG, which says nothing to a screen reader: there is a word beside it."""
    return heroicon_outline(name, size=18, aria_hidden="true")


@cache
def static(name: str) -> str:
    """The address of a file under static/, with its hash, so that browsers may keep it."""
    content = INSTALLED.get(name, HERE / "static" / name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:10]}"


def with_query(path: str, values: Mapping[str, Any], **changes: Any) -> str:
    """`path` with the values and changes as its query; what is empty is left out, of a list each stands by itself."""
    merged = {name: value for name, value in {**values, **changes}.items() if value not in ("", None, [])}
    return f"{path}?{urlencode(merged, doseq=True)}" if merged else path
