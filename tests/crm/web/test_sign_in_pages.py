"""Signing in by the pages: cookies, the second factor, lockout, and what a stranger learns, which is nothing."""

from __future__ import annotations

import re
import time

import pyotp
import pytest

from config import WebConfig
from crm.sealed import Seal
from crm.staff.lockout import ADDRESS_FAILURES, FAILURES
from crm.staff.passwords import Passwords, TooBusy
from crm.staff.staff import get_self
from crm.staff.totp import enrol
from crm.store import Store
from crm.web.sign_in_pages import TRIES_A_MINUTE
from tests.crm.web.site import CHEAP, KEY, PASSWORD, Browser, TestSite, plain


class Busy(Passwords):
    """Has no place for anybody."""

    def verify(self, hash: str, password: str) -> bool:
        raise TooBusy("too many sign in at this moment: try again in a few seconds")


def session_of(browser: Browser) -> str:
    return browser.client.cookies.get("teledom") or ""


def without_token(html: str) -> str:
    return re.sub(r'name="_csrf_token" value="[^"]*"|x-csrftoken": "[^"]*"', "", html)


def with_second_factor(site: TestSite, login: str) -> pyotp.TOTP:
    """An employee who has a second factor; what shows his codes."""
    id = site.employee(login)
    browser = site.browser(login)
    secret = enrol(site.store, Seal(KEY), id).secret
    totp = pyotp.TOTP(secret)
    done = browser.post(
        "/profile/second-factor/confirm", {"old": PASSWORD, "code": totp.at(time.time() - 30)}
    )
    assert done.status_code == 303
    assert get_self(site.store, id).totp_on
    return totp


def test_the_session_is_in_a_cookie_that_no_script_reads(site: TestSite) -> None:
    browser = site.browser("")

    answer = browser.sign_in("admin")

    cookie = answer.headers["set-cookie"]
    assert answer.status_code == 303
    assert cookie.startswith("teledom=")
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Domain" not in cookie


def test_where_there_is_tls_the_cookie_is_bound_to_it(store: Store) -> None:
    site = TestSite(store, config=WebConfig(cookies="secure"))
    try:
        browser = site.browser("")
        browser.client.base_url = browser.client.base_url.copy_with(scheme="https")

        cookie = browser.sign_in("admin").headers["set-cookie"]
    finally:
        site.close()

    assert cookie.startswith("__Host-teledom=")
    assert "Secure" in cookie


def test_signing_in_again_makes_a_new_session_and_ends_the_old_one(site: TestSite) -> None:
    browser = site.browser()
    old = session_of(browser)

    browser.sign_in("admin")

    assert session_of(browser) != old
    browser.client.cookies.set("teledom", old)
    assert browser.get("/profile").status_code == 303


def test_who_signs_out_is_out_and_his_cookie_is_gone(site: TestSite) -> None:
    browser = site.browser()
    old = session_of(browser)

    answer = browser.post("/sign-out")

    assert answer.headers["location"] == "/sign-in"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    browser.client.cookies.set("teledom", old)
    assert browser.get("/profile").status_code == 303


def test_a_stranger_does_not_learn_which_logins_there_are(site: TestSite) -> None:
    id = site.employee("gone")
    site.browser().post(f"/staff/employees/{id}/active?active=no")

    answers = [
        site.browser("").sign_in("admin", "not the password"),
        site.browser("").sign_in("nobody", "not the password"),
        site.browser("").sign_in("gone", PASSWORD),
    ]

    assert {answer.status_code for answer in answers} == {403}
    assert len({without_token(answer.text) for answer in answers}) == 1
    assert all("set-cookie" not in answer.headers for answer in answers)
    assert "not the password" not in answers[0].text


def test_an_unknown_login_takes_as_long_as_a_known_one(store: Store) -> None:
    site = TestSite(store, parts={"passwords": Passwords(time_cost=2, memory_kib=16_384, lanes=1)})
    try:
        took = {login: min(timed(site, login) for _ in range(3)) for login in ("admin", "nobody")}
    finally:
        site.close()

    assert took["nobody"] > took["admin"] * 0.5


def timed(site: TestSite, login: str) -> float:
    browser = site.browser("")
    browser.get("/sign-in")
    began = time.perf_counter()
    browser.post("/sign-in", {"login": login, "password": "not the password"})
    return time.perf_counter() - began


def test_after_some_failures_even_the_right_password_is_refused_in_the_same_words(site: TestSite) -> None:
    site.employee("petrov")
    browser = site.browser("")
    wrong = [browser.sign_in("petrov", "not the password") for _ in range(FAILURES)]

    right = browser.sign_in("petrov")

    assert right.status_code == 403
    assert without_token(right.text) == without_token(wrong[0].text)


def test_an_address_with_too_many_failures_is_told_when_to_come_again(site: TestSite) -> None:
    browser = site.browser("")
    for n in range(ADDRESS_FAILURES):
        browser.sign_in(f"login{n}", "not the password")

    answer = browser.sign_in("admin")

    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 900
    assert "teledom" not in browser.client.cookies


def test_one_address_may_not_post_without_end(site: TestSite) -> None:
    browser = site.browser("")
    browser.get("/sign-in")
    answers = [browser.post("/sign-in/code", {"code": "1"}).status_code for _ in range(TRIES_A_MINUTE + 1)]

    assert answers[0] == 403
    assert answers[-1] == 429


def test_who_comes_while_too_many_sign_in_is_asked_to_try_again(store: Store) -> None:
    site = TestSite(store, parts={"passwords": CHEAP})
    try:
        site.app.state.site.parts["passwords"] = Busy(time_cost=1, memory_kib=8, lanes=1)

        answer = site.browser("").sign_in("admin")
    finally:
        site.close()

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


def test_with_a_second_factor_the_password_alone_opens_nothing(site: TestSite) -> None:
    totp = with_second_factor(site, "petrov")
    browser = site.browser("")

    half = browser.sign_in("petrov")
    first = session_of(browser)

    assert half.status_code == 200
    assert 'name="code"' in half.text
    assert browser.get("/profile").status_code == 303
    assert browser.post("/sign-in/code", {"code": "000000"}).status_code == 403
    done = browser.post("/sign-in/code", {"code": totp.now(), "next": "/profile"})
    assert (done.status_code, done.headers["location"]) == (303, "/profile")
    assert session_of(browser) != first
    assert browser.get("/profile").status_code == 200


def test_a_code_is_good_for_one_sign_in(site: TestSite) -> None:
    totp = with_second_factor(site, "petrov")
    code = totp.now()
    one, other = site.browser(""), site.browser("")
    one.sign_in("petrov")
    other.sign_in("petrov")

    assert one.post("/sign-in/code", {"code": code}).status_code == 303
    assert other.post("/sign-in/code", {"code": code}).status_code == 403


@pytest.mark.parametrize(
    "next", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"]
)
def test_signing_in_leads_to_no_foreign_place(site: TestSite, next: str) -> None:
    browser = site.browser("")
    page = browser.get(f"/sign-in?next={next}")
    answer = browser.post("/sign-in", {"login": "admin", "password": PASSWORD, "next": next})

    assert "evil.example" not in page.text
    assert answer.headers["location"] == "/"


def test_a_sign_in_from_a_foreign_page_is_refused(site: TestSite) -> None:
    browser = site.browser("")
    browser.get("/sign-in")

    answer = browser.client.post("/sign-in", data={"login": "admin", "password": PASSWORD})

    assert answer.status_code == 403
    assert session_of(browser) == ""


def test_pages_allow_no_scripts_but_our_own(site: TestSite) -> None:
    answer = site.browser("").get("/sign-in")
    policy = answer.headers["content-security-policy"]

    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script(?![^>]*\bsrc=)", answer.text)
    assert " style=" not in answer.text
    assert "Логин" in plain(answer.text)


def test_without_the_key_the_code_page_says_what_is_missing(store: Store) -> None:
    site = TestSite(store)
    try:
        totp = with_second_factor(site, "petrov")
        browser = site.browser("")
        browser.sign_in("petrov")
        desk = site.app.state.site.desk
        object.__setattr__(desk, "secret_key", "")

        answer = browser.post("/sign-in/code", {"code": totp.now()})
    finally:
        site.close()

    assert answer.status_code == 503
    assert "TELEDOM_SECRET_KEY" in answer.text
