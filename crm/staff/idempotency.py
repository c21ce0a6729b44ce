"""Idempotency keys: a program that did not hear an answer asks the same again, and nothing is done twice.

The first request with a key runs (`begin_request`), and its answer is kept for a day (`keep_answer`); the same again
gets that answer. A row without an answer is a request that runs now, or whose process was cut off: whether it did its
work is not known then, so it is not run again, and who asks is told to look.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable

import sqlalchemy as sa
import sqlalchemy.exc
from attrs import frozen

from crm.model import table
from crm.store import Store
from crm.tables.staff import Idempotent
from crm.who import Conflict, Invalid

_KEYS = table(Idempotent)
KEEP_S = 86_400.0
RUNS_S = 300.0  # what has no answer after that was cut off
_RUNNING = 0  # instead of a status


@frozen
class Answer:
    """What a request was answered: the HTTP status, and the body as text."""

    status: int
    body: str


def request_hash(method: str, path: str, body: bytes, token: str) -> str:
    """What tells one request from another; `path` with its query.

    Keyed with the token, which is kept nowhere: a body may have a password, and nobody who reads this hash may guess it.
    """
    text = b"\0".join((method.upper().encode(), path.encode(), body))
    return hmac.new(token.encode("utf-8", "surrogatepass"), text, hashlib.sha256).hexdigest()


def begin_request(store: Store, token_id: int, key: str, request: str, now: float) -> Answer | None:
    """The kept answer; None: the caller runs it now, and then calls `keep_answer`, or `forget_request` if it failed.

    `request` is its hash. Raises Invalid (the key), Conflict: it runs already, was cut off, or the key was another's.
    """
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise Invalid({"Idempotency-Key": "1 to 255 printable ASCII characters without spaces are expected"})
    with store.transaction() as connection:
        old = sa.and_(_of(token_id, key), _KEYS.c.at <= now - KEEP_S)
        connection.execute(sa.delete(_KEYS).where(old))
        new = {
            "token_id": token_id,
            "key": key,
            "request": request,
            "status": _RUNNING,
            "body": "",
            "at": now,
        }
        try:
            with connection.begin_nested():
                connection.execute(sa.insert(_KEYS).values(new))
            return None
        except sa.exc.IntegrityError:
            row = connection.execute(
                sa.select(_KEYS.c.request, _KEYS.c.status, _KEYS.c.body, _KEYS.c.at).where(_of(token_id, key))
            ).first()
            if not row:  # the one that ran has failed in this very moment; or the token is gone
                raise Conflict(f"idempotency key {key}: try again") from None
    if row.request != request:
        raise Conflict(f"idempotency key {key} was used for another request: take a new key for each")
    if row.status != _RUNNING:
        return Answer(row.status, row.body)
    if now - row.at < RUNS_S:
        raise Conflict(f"the request with idempotency key {key} is in progress: ask again in a moment")
    raise Conflict(
        f"the request with idempotency key {key} was cut off, and may have been done: look whether it was, "
        "and if not, send it with a new key"
    )


def keep_answer(store: Store, token_id: int, key: str, answer: Answer) -> None:
    """The request that was begun has this answer."""
    with store.transaction() as connection:
        running = sa.update(_KEYS).where(_of(token_id, key), _KEYS.c.status == _RUNNING)
        connection.execute(running.values(status=answer.status, body=answer.body))


def forget_request(store: Store, token_id: int, key: str) -> None:
    """The request that was begun has done nothing: it may be sent again."""
    with store.transaction() as connection:
        connection.execute(sa.delete(_KEYS).where(_of(token_id, key), _KEYS.c.status == _RUNNING))


def run_once(
    store: Store, token_id: int, key: str, request: str, run: Callable[[], Answer], now: float
) -> Answer:
    """The kept answer, or that of `run`, which is kept. Where `run` raises, nothing is kept. Raises as begin_request."""
    kept = begin_request(store, token_id, key, request, now)
    if kept:
        return kept
    try:
        answer = run()
    except BaseException:
        forget_request(store, token_id, key)
        raise
    keep_answer(store, token_id, key, answer)
    return answer


def drop_old(connection: sa.Connection, now: float) -> int:
    """Delete what is older than a day; how many."""
    return connection.execute(sa.delete(_KEYS).where(_KEYS.c.at <= now - KEEP_S)).rowcount


def _of(token_id: int, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(_KEYS.c.token_id == token_id, _KEYS.c.key == key)
