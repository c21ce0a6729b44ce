"""The second factor: codes of six digits by time (RFC 6238), from an app on the employee's phone.

The secret is sealed by `Seal` and counts once a code has confirmed that the app has it. A code holds for one step of
30 s before and after its own, as clocks differ, and for one sign-in: the step that was used up, and all before it, are
refused.
"""

from __future__ import annotations

import hmac
import io
import re

import pyotp
import segno
import sqlalchemy as sa
from attrs import field, frozen

from crm.changes import note_change
from crm.model import table
from crm.sealed import Seal
from crm.staff.sessions import end_sessions, read_session, rotate_session
from crm.store import Store
from crm.tables.staff import Employee
from crm.who import Conflict, Invalid, NotFound, Who

_EMPLOYEES = table(Employee)
STEP_S = 30
DRIFT = 1  # steps
ISSUER = "teledom"
WRONG = "this is not the code that the app shows now: see that the phone's clock is right"


@frozen
class Enrolment:
    """What the app is told: `secret` to type, `uri` (otpauth), `svg` the same as a QR code, without scripts or styles."""

    secret: str = field(repr=False)
    uri: str = field(repr=False)
    svg: str = field(repr=False)


def enrol(store: Store, seal: Seal, employee_id: int) -> Enrolment:
    """Begin: a new secret, which does not count yet. Raises NotFound, Conflict (a second factor is on already)."""
    secret = pyotp.random_base32()
    with store.transaction() as connection:
        row = connection.execute(
            sa.update(_EMPLOYEES)
            .where(_EMPLOYEES.c.id == employee_id, _EMPLOYEES.c.totp_on == sa.false())
            .values(totp_secret=seal.seal(secret), totp_used=0)
            .returning(_EMPLOYEES.c.login)
        ).first()
        if not row:
            _need(connection, employee_id)
            raise Conflict("a second factor is on already: turn it off first")
    return _enrolment(secret, row.login)


def begun(store: Store, seal: Seal, employee_id: int) -> Enrolment:
    """What was begun and is not confirmed yet, once more. Raises Conflict (nothing was begun, or it is on), SealError."""
    with store.reading() as connection:
        row = connection.execute(
            sa.select(_EMPLOYEES.c.login, _EMPLOYEES.c.totp_secret).where(
                _EMPLOYEES.c.id == employee_id, _EMPLOYEES.c.totp_on == sa.false()
            )
        ).first()
    if not row or not row.totp_secret:
        raise Conflict("there is no second factor to confirm: begin again")
    return _enrolment(seal.open(row.totp_secret), row.login)


def confirm(store: Store, seal: Seal, who: Who, employee_id: int, code: str, token: str, now: float) -> str:
    """Turn it on by a code of the app. It ends the employee's other sessions; the new token of the one of `token`.

    Raises Invalid (field "code"), Conflict (nothing was begun, or it is on), NotFound.
    """
    with store.transaction() as connection:
        session = read_session(connection, token, now)
        if not session or session.employee_id != employee_id or not session.complete:
            raise NotFound("the session has ended meanwhile: sign in again")
        row = connection.execute(
            sa.select(_EMPLOYEES.c.totp_secret, _EMPLOYEES.c.totp_on).where(_EMPLOYEES.c.id == employee_id)
        ).one()
        if row.totp_on or not row.totp_secret:
            raise Conflict("there is no second factor to confirm: begin again")
        step = matching_step(seal.open(row.totp_secret), code, 0, now)
        if step is None:
            raise Invalid({"code": WRONG})
        mine = sa.update(_EMPLOYEES).where(_EMPLOYEES.c.id == employee_id, _EMPLOYEES.c.totp_on == sa.false())
        connection.execute(mine.values(totp_on=True, totp_used=step))
        end_sessions(connection, employee_id, keep=token)
        new = rotate_session(connection, session, now, complete=True)
        note_change(
            connection,
            who,
            "employee",
            employee_id,
            "update",
            {"second factor": False},
            {"second factor": True},
            at=now,
        )
        return new


def use_up(connection: sa.Connection, employee_id: int, step: int) -> bool:
    """Use a time step up; False: it, or a later one, was used before, or the second factor is off."""
    mine = sa.update(_EMPLOYEES).where(
        _EMPLOYEES.c.id == employee_id, _EMPLOYEES.c.totp_on == sa.true(), _EMPLOYEES.c.totp_used < step
    )
    return connection.execute(mine.values(totp_used=step)).rowcount == 1


def matching_step(secret: str, code: str, used: int, now: float) -> int | None:
    """The time step that `code` belongs to, if it is later than `used` and near enough to `now`; else None."""
    digits = re.sub(r"[\s-]", "", code)
    if not re.fullmatch(r"[0-9]{6}", digits):
        return None
    totp, current = pyotp.TOTP(secret), int(now // STEP_S)
    found = None
    for step in range(current - DRIFT, current + DRIFT + 1):
        if hmac.compare_digest(totp.generate_otp(step), digits) and step > used:
            found = step
    return found


def qr_svg(text: str) -> str:
    """A QR code as an SVG element to put into a page: dark on white in dark pages too, as phones' cameras need it."""
    out = io.BytesIO()
    segno.make(text, micro=False, error="m").save(
        out,
        kind="svg",
        xmldecl=False,
        svgclass=None,
        lineclass=None,
        omitsize=True,
        dark="#000",
        light="#fff",
        nl=False,
    )
    return out.getvalue().decode()


def _enrolment(secret: str, login: str) -> Enrolment:
    uri = pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)
    return Enrolment(secret, uri, qr_svg(uri))


def _need(connection: sa.Connection, employee_id: int) -> None:
    if not connection.execute(sa.select(_EMPLOYEES.c.id).where(_EMPLOYEES.c.id == employee_id)).first():
        raise NotFound(f"there is no employee {employee_id}")
