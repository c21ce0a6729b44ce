"""Employees, groups, sign-ins, tokens, and the history of changes: as lists, for reading.

They hang on no house, so they are seen by who has the right everywhere. What changes them is in crm/staff/, by pages
and requests of their own.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from crm.desk.resource import Field, Find, Kind, Resource
from crm.model import table
from crm.rights import Reach, Right
from crm.sections.right_names import rights_in_words
from crm.staff.lockout import SignInOutcome, login_of
from crm.tables.staff import ApiToken, Change, Employee, EmployeeGroup, Group, SignIn

SECTION = "Staff"
EMPLOYEES, GROUPS, TOKENS = table(Employee), table(Group), table(ApiToken)
SIGN_INS, CHANGES, _MEMBERS = table(SignIn), table(Change), table(EmployeeGroup)
LANGUAGES = (("ru", "Russian"), ("en", "English"))
OUTCOMES = (
    (SignInOutcome.SIGNED_IN.value, "signed in"),
    (SignInOutcome.HALF_WAY.value, "password right, code to come"),
    (SignInOutcome.SIGNED_OUT.value, "signed out"),
    (SignInOutcome.CONFIRMED.value, "confirmed once more"),
    (SignInOutcome.UNKNOWN_LOGIN.value, "no such login"),
    (SignInOutcome.WRONG_PASSWORD.value, "wrong password"),
    (SignInOutcome.INACTIVE.value, "deactivated employee"),
    (SignInOutcome.WRONG_CODE.value, "wrong code"),
    (SignInOutcome.LOCKED.value, "refused: account locked"),
    (SignInOutcome.LOCK_BEGAN.value, "account locked from here on"),
    (SignInOutcome.UNLOCKED.value, "unlocked by staff"),
    (SignInOutcome.ADDRESS_LOCKED.value, "refused: too many tries from this address"),
    (SignInOutcome.BUSY.value, "sent away: too many at once"),
    (SignInOutcome.UNFINISHED.value, "not finished"),
)
_GROUPS_OF_TOKENS = GROUPS.alias("token_group")
_EMPLOYEES_OF_SIGN_INS = EMPLOYEES.alias("sign_in_employee")


def _nobody_bounded(reach: Reach) -> sa.ColumnElement[bool]:
    """Of who has the right within some houses only."""
    return sa.true() if reach.everywhere else sa.false()


def _time(name: str, label: str, column: Any, **options: Any) -> Field:
    return Field(name=name, label=label, kind=Kind.TIME, column=column, written=False, **options)


def _members_of(text: str) -> sa.ColumnElement[bool]:
    if not text.isdigit() or not 0 <= int(text) < 2**31:
        raise ValueError("a whole number is expected")
    return EMPLOYEES.c.id.in_(sa.select(_MEMBERS.c.employee_id).where(_MEMBERS.c.group_id == int(text)))


EMPLOYEES_RESOURCE = Resource(
    name="employees",
    entity="employee",
    label="Employees",
    label_one="Employee",
    section="Users",
    icon="identification",
    model=Employee,
    source=EMPLOYEES,
    title=EMPLOYEES.c.name,
    view=Right.STAFF_VIEW,
    reach=_nobody_bounded,
    order=("login",),
    fields=(
        Field(
            name="login",
            label="Login",
            column=EMPLOYEES.c.login,
            written=False,
            sortable=True,
            find=Find.BEGINS,
        ),
        Field(name="name", label="Full name", column=EMPLOYEES.c.name, written=False, find=Find.CONTAINS),
        Field(
            name="active",
            label="May sign in",
            kind=Kind.YES_NO,
            column=EMPLOYEES.c.active,
            written=False,
            find=Find.SAME,
        ),
        Field(
            name="second_factor",
            label="Second factor",
            kind=Kind.YES_NO,
            column=EMPLOYEES.c.totp_on,
            written=False,
            find=Find.SAME,
        ),
        Field(
            name="language",
            label="Language",
            kind=Kind.CHOICE,
            column=EMPLOYEES.c.language,
            choices=LANGUAGES,
            written=False,
        ),
        _time("created_at", "Since", EMPLOYEES.c.created_at),
        _time("password_at", "Password since", EMPLOYEES.c.password_at),
        Field(
            name="group_id",
            label="Group",
            kind=Kind.REFERENCE,
            refers_to="groups",
            written=False,
            listed=False,
            find=Find.SAME,
            where=_members_of,
        ),
    ),
)

GROUPS_RESOURCE = Resource(
    name="groups",
    entity="group",
    label="Groups",
    label_one="Group",
    section="Users",
    icon="user-group",
    model=Group,
    source=GROUPS,
    title=GROUPS.c.name,
    view=Right.STAFF_VIEW,
    reach=_nobody_bounded,
    order=("name",),
    fields=(
        Field(name="name", label="Name", column=GROUPS.c.name, written=False, find=Find.CONTAINS),
        Field(
            name="everywhere", label="Everywhere", kind=Kind.YES_NO, column=GROUPS.c.everywhere, written=False
        ),
        Field(
            name="members",
            label="Members",
            kind=Kind.INTEGER,
            column=sa.select(sa.func.count())
            .where(_MEMBERS.c.group_id == GROUPS.c.id)
            .correlate(GROUPS)
            .scalar_subquery(),
            written=False,
        ),
        Field(
            name="rights",
            label="Rights",
            kind=Kind.LONG_TEXT,
            column=GROUPS.c.rights,
            written=False,
            hint="a space between two",
            words=rights_in_words,
        ),
    ),
)

TOKENS_RESOURCE = Resource(
    name="tokens",
    entity="token",
    label="Tokens",
    label_one="Token",
    section=SECTION,
    icon="command-line",
    model=ApiToken,
    source=TOKENS.outerjoin(_GROUPS_OF_TOKENS, _GROUPS_OF_TOKENS.c.id == TOKENS.c.group_id),
    title=TOKENS.c.name,
    view=Right.TOKENS_EDIT,
    reach=_nobody_bounded,
    order=("-created_at",),
    fields=(
        Field(name="name", label="Program", column=TOKENS.c.name, written=False, find=Find.CONTAINS),
        Field(
            name="rights",
            label="Rights",
            kind=Kind.LONG_TEXT,
            column=TOKENS.c.rights,
            written=False,
            listed=False,
            hint="a space between two",
            words=rights_in_words,
        ),
        Field(
            name="group_id",
            label="Within the houses of",
            kind=Kind.REFERENCE,
            refers_to="groups",
            column=TOKENS.c.group_id,
            shown=_GROUPS_OF_TOKENS.c.name,
            written=False,
            hint="nothing: everywhere",
        ),
        _time("created_at", "Made", TOKENS.c.created_at),
        _time("expires_at", "Ends", TOKENS.c.expires_at),
        _time("used_at", "Last used", TOKENS.c.used_at),
        _time("revoked_at", "Revoked", TOKENS.c.revoked_at),
    ),
)

SIGN_INS_RESOURCE = Resource(
    name="sign-ins",
    entity="sign-in",
    label="Sign-ins",
    label_one="Sign-in",
    section=SECTION,
    icon="finger-print",
    model=SignIn,
    source=SIGN_INS.outerjoin(_EMPLOYEES_OF_SIGN_INS, _EMPLOYEES_OF_SIGN_INS.c.id == SIGN_INS.c.employee_id),
    title=SIGN_INS.c.login,
    view=Right.STAFF_VIEW,
    reach=_nobody_bounded,
    order=("-at",),
    fields=(
        _time("at", "When", SIGN_INS.c.at, find=Find.BETWEEN),
        Field(
            name="login",
            label="Login",
            column=SIGN_INS.c.login,
            written=False,
            listed=False,
            find=Find.SAME,
            clean=login_of,
        ),
        Field(
            name="outcome",
            label="What came of it",
            kind=Kind.CHOICE,
            column=SIGN_INS.c.outcome,
            choices=OUTCOMES,
            written=False,
            find=Find.SAME,
        ),
        Field(
            name="employee_id",
            label="Employee",
            kind=Kind.REFERENCE,
            refers_to="employees",
            column=SIGN_INS.c.employee_id,
            shown=_EMPLOYEES_OF_SIGN_INS.c.name,
            written=False,
            find=Find.SAME,
        ),
        Field(name="address", label="IP address", column=SIGN_INS.c.address, written=False, find=Find.SAME),
        Field(name="agent", label="Browser", column=SIGN_INS.c.agent, written=False),
    ),
)


def _by_employee(text: str) -> sa.ColumnElement[bool]:
    if not text.isdigit() or not 0 <= int(text) < 2**31:
        raise ValueError("a whole number is expected")
    return CHANGES.c.by == f"employee:{int(text)}"


CHANGES_RESOURCE = Resource(
    name="changes",
    entity="change",
    label="Changes",
    label_one="Change",
    section=SECTION,
    icon="clock",
    in_menu=False,  # crm/web/change_pages.py shows them with what was before and after
    model=Change,
    source=CHANGES,
    title=CHANGES.c.entity + " " + sa.cast(CHANGES.c.entity_id, sa.String) + ": " + CHANGES.c.action,
    view=Right.CHANGES_VIEW,
    reach=_nobody_bounded,
    order=("-at",),
    fields=(
        _time("at", "When", CHANGES.c.at, find=Find.BETWEEN),
        Field(
            name="employee_id",
            label="Employee",
            kind=Kind.REFERENCE,
            refers_to="employees",
            written=False,
            listed=False,
            find=Find.SAME,
            where=_by_employee,
        ),
        Field(
            name="by",
            label="By",
            column=CHANGES.c.by,
            written=False,
            find=Find.SAME,
            hint="employee:7, token:3, billing, system, command line",
            example="employee:7",
        ),
        Field(name="who", label="Who", column=CHANGES.c.who, written=False),
        Field(name="address", label="IP address", column=CHANGES.c.address, written=False),
        Field(
            name="entity",
            label="Kind of record",
            column=CHANGES.c.entity,
            written=False,
            find=Find.SAME,
            example="house",
        ),
        Field(
            name="entity_id",
            label="Id of the record",
            kind=Kind.INTEGER,
            column=CHANGES.c.entity_id,
            written=False,
            find=Find.SAME,
            example=7,
        ),
        Field(name="action", label="What", column=CHANGES.c.action, written=False, example="update"),
        Field(
            name="before",
            label="Before",
            kind=Kind.LONG_TEXT,
            column=CHANGES.c.before,
            written=False,
            hint="JSON",
            example='{"name": "п. 1"}',
        ),
        Field(
            name="after",
            label="After",
            kind=Kind.LONG_TEXT,
            column=CHANGES.c.after,
            written=False,
            hint="JSON",
            example='{"name": "п. 2"}',
        ),
    ),
)

RESOURCES = (EMPLOYEES_RESOURCE, GROUPS_RESOURCE, TOKENS_RESOURCE, SIGN_INS_RESOURCE, CHANGES_RESOURCE)
