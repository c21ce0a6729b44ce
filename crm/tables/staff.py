"""Employees, their groups, sessions and sign-ins, tokens of programs, and the history of changes.

Times are UTC, in seconds since the epoch. Of a password, a session and a token only a hash is kept.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from crm.model import Base, to


class Employee(Base):
    """Who signs in with `login` (small letters). `totp_secret` is sealed (crm.sealed) and counts once `totp_on`;
    `totp_used` is the last time step that was used up. `time_zone` "" : each house's own.
    """

    __tablename__ = "employees"
    id: Mapped[int] = mapped_column(primary_key=True)
    login: Mapped[str] = mapped_column(sa.String(64), unique=True)
    name: Mapped[str]
    password_hash: Mapped[str] = mapped_column(default="")
    password_at: Mapped[float] = mapped_column(default=0.0)
    totp_secret: Mapped[str] = mapped_column(sa.Text, default="")
    totp_on: Mapped[bool] = mapped_column(default=False)
    totp_used: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    language: Mapped[str] = mapped_column(sa.String(8), default="ru")
    active: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[float]


class Group(Base):
    """A named set of rights (`rights`: their values, a space between two). `everywhere`, or only within its reaches."""

    __tablename__ = "groups"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    rights: Mapped[str] = mapped_column(sa.Text, default="")
    everywhere: Mapped[bool] = mapped_column(default=False)


class GroupCity(Base):
    __tablename__ = "group_cities"
    group_id: Mapped[int] = to("groups.id", primary_key=True)
    city_id: Mapped[int] = to("cities.id", primary_key=True)


class GroupCompany(Base):
    __tablename__ = "group_companies"
    group_id: Mapped[int] = to("groups.id", primary_key=True)
    company_id: Mapped[int] = to("companies.id", primary_key=True)


class GroupHouse(Base):
    __tablename__ = "group_houses"
    group_id: Mapped[int] = to("groups.id", primary_key=True)
    house_id: Mapped[int] = to("houses.id", primary_key=True)


class EmployeeGroup(Base):
    __tablename__ = "employee_groups"
    employee_id: Mapped[int] = to("employees.id", primary_key=True)
    group_id: Mapped[int] = to("groups.id", primary_key=True, index=True)


class WebSession(Base):
    """A browser that is signed in, or half way (`second_factor` False: the code is still to come). `id` is a hash."""

    __tablename__ = "sessions"
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    employee_id: Mapped[int] = to("employees.id", index=True)
    second_factor: Mapped[bool]
    created_at: Mapped[float]
    seen_at: Mapped[float]
    expires_at: Mapped[float] = mapped_column(index=True)
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str]


class SignIn(Base):
    """A try to sign in, whatever came of it: `outcome` is a value of staff.SignInOutcome."""

    __tablename__ = "sign_ins"
    __table_args__ = (sa.Index(None, "login", "at"), sa.Index(None, "address", "at"), sa.Index(None, "at"))
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    login: Mapped[str] = mapped_column(sa.String(64))
    employee_id: Mapped[int | None]
    address: Mapped[str] = mapped_column(sa.String(64))
    agent: Mapped[str]
    outcome: Mapped[str] = mapped_column(sa.String(20))


class ApiToken(Base):
    """What a program signs in with. `rights` as a group's, within the reach of `group_id`'s group (None: everywhere)."""

    __tablename__ = "api_tokens"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    hash: Mapped[str] = mapped_column(sa.String(64), unique=True)
    rights: Mapped[str] = mapped_column(sa.Text, default="")
    group_id: Mapped[int | None] = mapped_column(sa.ForeignKey("groups.id", ondelete="CASCADE"))
    created_at: Mapped[float]
    expires_at: Mapped[float]
    used_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class Idempotent(Base):
    """What a request with this Idempotency-Key was answered: the same again, for a day."""

    __tablename__ = "idempotency_keys"
    token_id: Mapped[int] = to("api_tokens.id", primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    request: Mapped[str] = mapped_column(sa.String(64))  # a hash of method, path and body
    status: Mapped[int]
    body: Mapped[str] = mapped_column(sa.Text)
    at: Mapped[float] = mapped_column(index=True)


class Change(Base):
    """Who changed what, when: `before` and `after` are JSON objects of the fields that differ ("" for none).

    `who` is shown; `by` says what it is: "employee:7", "token:3", "billing", "system", "command line".
    """

    __tablename__ = "changes"
    __table_args__ = (
        sa.Index(None, "entity", "entity_id", "id"),
        sa.Index(None, "by", "id"),
        sa.Index(None, "at", "id"),
    )
    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[float]
    by: Mapped[str] = mapped_column(sa.String(32))
    who: Mapped[str]
    address: Mapped[str] = mapped_column(sa.String(64), default="")
    entity: Mapped[str] = mapped_column(sa.String(32))
    entity_id: Mapped[int]
    action: Mapped[str] = mapped_column(sa.String(20))
    before: Mapped[str] = mapped_column(sa.Text, default="")
    after: Mapped[str] = mapped_column(sa.Text, default="")
