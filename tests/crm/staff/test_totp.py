"""The second factor: how it is turned on, which codes hold, and what is kept of it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from urllib.parse import parse_qs, unquote, urlsplit

import pyotp
import pytest
import sqlalchemy as sa

from crm.model import table
from crm.sealed import Seal, new_key
from crm.staff.sessions import find_session
from crm.staff.staff import get_employee, reset_second_factor
from crm.staff.totp import confirm, enrol, matching_step, qr_svg, use_up
from crm.store import Store
from crm.tables.staff import Employee
from crm.who import SYSTEM, Conflict, Invalid, NotFound
from tests.crm.employees import NOW, Employees, cheap

SEAL = Seal(new_key())
# RFC 6238, appendix B: the secret "12345678901234567890", SHA-1; the last six of its eight digits.
RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
RFC_CODES = [(59, "287082"), (1111111109, "081804"), (1234567890, "005924"), (20000000000, "353130")]


@pytest.fixture
def staff(store: Store) -> Employees:
    return Employees(store, cheap())


@pytest.mark.parametrize(("at", "code"), RFC_CODES)
def test_codes_are_those_of_the_rfc(at: int, code: str) -> None:
    assert matching_step(RFC_SECRET, code, 0, at) == at // 30


def test_a_code_holds_one_step_before_and_after_its_own() -> None:
    code = pyotp.TOTP(RFC_SECRET).at(int(NOW))
    step = int(NOW // 30)
    start = step * 30
    for now, well in ((start - 31, False), (start - 30, True), (start + 59, True), (start + 60, False)):
        assert (matching_step(RFC_SECRET, code, 0, now) == step) is well


def test_a_used_step_and_those_before_it_are_refused() -> None:
    app, step = pyotp.TOTP(RFC_SECRET), int(NOW // 30)
    assert matching_step(RFC_SECRET, app.at(int(NOW)), step, NOW) is None
    assert matching_step(RFC_SECRET, app.at(int(NOW) - 30), step, NOW) is None
    assert matching_step(RFC_SECRET, app.at(int(NOW) + 30), step, NOW) == step + 1


def test_a_code_may_be_typed_with_spaces_and_must_be_six_digits() -> None:
    code = pyotp.TOTP(RFC_SECRET).at(int(NOW))
    assert matching_step(RFC_SECRET, f" {code[:3]} {code[3:]}\n", 0, NOW)
    for wrong in ("", code[:5], code + "0", "abcdef", "١٢٣٤٥٦", "\ud800"):
        assert matching_step(RFC_SECRET, wrong, 0, NOW) is None


def test_a_new_secret_counts_only_once_a_code_has_confirmed_it(staff: Employees) -> None:
    root = staff.id("root")
    signed = staff.sign_in("root")
    enrolment = enrol(staff.store, SEAL, root)
    assert not get_employee(staff.store, SYSTEM, root).totp_on
    assert staff.sign_in("root").complete
    app = pyotp.TOTP(enrolment.secret)
    with pytest.raises(Invalid) as caught:
        confirm(staff.store, SEAL, staff.who(root), root, "000000", signed.token, NOW)
    assert set(caught.value.errors) == {"code"}
    confirm(staff.store, SEAL, staff.who(root), root, app.at(int(NOW)), signed.token, NOW)
    assert get_employee(staff.store, SYSTEM, root).totp_on
    assert not staff.sign_in("root").complete


def test_turning_it_on_rotates_the_session_and_ends_the_others(staff: Employees) -> None:
    root = staff.id("root")
    other, mine = staff.sign_in("root").token, staff.sign_in("root").token
    app = pyotp.TOTP(enrol(staff.store, SEAL, root).secret)
    new = confirm(staff.store, SEAL, staff.who(root), root, app.at(int(NOW)), mine, NOW)
    assert [find_session(staff.store, token, NOW) is not None for token in (other, mine, new)] == [
        False,
        False,
        True,
    ]
    assert staff.changes()[-1][3:] == ("update", '{"second factor":false}', '{"second factor":true}')


def test_what_is_kept_tells_nothing_without_the_key(staff: Employees) -> None:
    secret = enrol(staff.store, SEAL, staff.id("root")).secret
    with staff.store.reading() as connection:
        kept = connection.execute(sa.select(table(Employee).c.totp_secret)).scalar_one()
    assert secret not in kept
    assert SEAL.open(kept) == secret
    assert len(secret) == 32  # 160 bits, as RFC 4226 recommends
    assert secret not in str(staff.changes())


def test_beginning_anew_makes_the_first_secret_worthless(staff: Employees) -> None:
    root, token = staff.id("root"), staff.sign_in("root").token
    first = pyotp.TOTP(enrol(staff.store, SEAL, root).secret)
    enrol(staff.store, SEAL, root)
    with pytest.raises(Invalid):
        confirm(staff.store, SEAL, staff.who(root), root, first.at(int(NOW)), token, NOW)


def test_one_that_is_on_is_not_replaced_and_staff_can_take_it_away(staff: Employees) -> None:
    root, token = staff.id("root"), staff.sign_in("root").token
    who = staff.who(root)
    code = pyotp.TOTP(enrol(staff.store, SEAL, root).secret).at(int(NOW))
    token = confirm(staff.store, SEAL, who, root, code, token, NOW)
    with pytest.raises(Conflict, match="turn it off first"):
        enrol(staff.store, SEAL, root)
    with pytest.raises(Conflict, match="begin again"):
        confirm(staff.store, SEAL, who, root, code, token, NOW)
    reset_second_factor(staff.store, SYSTEM, root, NOW)
    assert staff.sign_in("root").complete
    with pytest.raises(NotFound, match="sign in again"):
        confirm(staff.store, SEAL, who, root, code, token, NOW)


def test_anothers_session_confirms_nothing(staff: Employees) -> None:
    root, ivan = staff.id("root"), staff.add("ivan")
    token = staff.sign_in("ivan").token
    code = pyotp.TOTP(enrol(staff.store, SEAL, root).secret).at(int(NOW))
    with pytest.raises(NotFound):
        confirm(staff.store, SEAL, staff.who(ivan), root, code, token, NOW)


def test_who_is_not_there_is_said(staff: Employees) -> None:
    with pytest.raises(NotFound, match="no employee 99"):
        enrol(staff.store, SEAL, 99)


def test_a_step_is_used_up_once_and_only_where_it_is_on(staff: Employees) -> None:
    root, token = staff.id("root"), staff.sign_in("root").token
    with staff.store.transaction() as connection:
        assert not use_up(connection, root, 10**9)
    code = pyotp.TOTP(enrol(staff.store, SEAL, root).secret).at(int(NOW))
    confirm(staff.store, SEAL, staff.who(root), root, code, token, NOW)
    step = int(NOW // 30)
    with staff.store.transaction() as connection:
        assert [use_up(connection, root, each) for each in (step, step + 1, step + 1, step)] == [
            False,
            True,
            False,
            False,
        ]


def test_the_app_is_told_who_and_where_in_a_uri(staff: Employees) -> None:
    enrolment = enrol(staff.store, SEAL, staff.id("root"))
    parts = urlsplit(enrolment.uri)
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == ("otpauth", "totp", "/teledom:root")
    assert parse_qs(parts.query) == {"secret": [enrolment.secret], "issuer": ["teledom"]}
    assert enrolment.secret not in repr(enrolment)


def test_the_picture_is_one_svg_element_without_scripts_or_styles(staff: Employees) -> None:
    enrolment = enrol(staff.store, SEAL, staff.id("root"))
    picture = ET.fromstring(enrolment.svg)
    assert picture.tag == "{http://www.w3.org/2000/svg}svg"
    assert {each.tag.split("}")[1] for each in picture.iter()} == {"svg", "path"}
    assert not re.search(r"script|style|\bon\w+=|href", enrolment.svg)
    assert enrolment.svg == qr_svg(enrolment.uri)
