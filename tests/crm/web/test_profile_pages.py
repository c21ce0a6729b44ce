"""One's own profile: password, second factor, language, sessions."""

from __future__ import annotations

import re
import time

import pyotp

from crm.rights import Right
from crm.staff.staff import get_self
from tests.crm.web.site import PASSWORD, Browser, TestSite

NEW = "quite another password"


def session_of(browser: Browser) -> str:
    return browser.client.cookies.get("teledom") or ""


def test_a_new_password_ends_other_sessions_and_changes_the_cookie(site: TestSite) -> None:
    here, elsewhere = site.browser(), site.browser()
    old = session_of(here)

    answer = here.post("/profile/password", {"old": PASSWORD, "password": NEW, "again": NEW})

    assert answer.status_code == 303
    assert "HttpOnly" in answer.headers["set-cookie"]
    assert session_of(here) != old
    assert here.get("/profile").status_code == 200
    assert elsewhere.get("/profile").status_code == 303
    assert site.browser("").sign_in("admin", NEW).status_code == 303


def test_a_password_is_changed_only_with_the_old_one_and_typed_twice_alike(site: TestSite) -> None:
    browser = site.browser()

    wrong = browser.post("/profile/password", {"old": "not the password", "password": NEW, "again": NEW})
    other = browser.post("/profile/password", {"old": PASSWORD, "password": NEW, "again": NEW + "!"})
    weak = browser.post(
        "/profile/password", {"old": PASSWORD, "password": "qwerty1234", "again": "qwerty1234"}
    )

    assert [wrong.status_code, other.status_code, weak.status_code] == [403, 422, 422]
    assert "не совпадает с новым паролем" in other.text
    assert "такой пароль подбирают первым делом" in weak.text
    assert site.browser("").sign_in("admin").status_code == 303


def test_a_second_factor_is_set_up_by_its_code_and_given_up_by_one(site: TestSite) -> None:
    id = site.employee("petrov")
    browser = site.browser("petrov")
    page = browser.post("/profile/second-factor").text
    secret = re.search(r'data-copy="([A-Z2-7]{32})"', page)
    assert secret
    assert "<svg" in page
    totp, old = pyotp.TOTP(secret[1]), session_of(browser)

    confirm = "/profile/second-factor/confirm"

    stranger = browser.post(confirm, {"code": totp.now(), "old": "not the password"})
    nothing = browser.post(confirm, {"code": totp.now()})
    assert [stranger.status_code, nothing.status_code] == [403, 403]
    assert "the password is wrong" in stranger.text
    assert not get_self(site.store, id).totp_on
    wrong = browser.post(confirm, {"code": "000000", "old": PASSWORD})
    done = browser.post(confirm, {"code": totp.at(time.time() - 30), "old": PASSWORD})

    assert wrong.status_code == 422
    assert secret[1] in wrong.text
    assert done.status_code == 303
    assert session_of(browser) != old
    assert get_self(site.store, id).totp_on
    assert browser.post("/profile/second-factor/off", {"code": "000000"}).status_code == 403
    assert browser.post("/profile/second-factor/off", {"code": totp.now()}).status_code == 303
    assert not get_self(site.store, id).totp_on


def test_who_may_change_others_is_advised_to_take_a_second_factor(site: TestSite) -> None:
    site.employee("plain", [Right.HOUSING_VIEW])

    assert "со вторым фактором" in site.browser().text("/profile")
    assert "a second factor keeps" not in site.browser("plain").text("/profile")


def test_the_language_is_ones_own_choice(site: TestSite) -> None:
    browser = site.browser()
    assert "Сеансы" in browser.text("/profile")

    browser.post("/profile/language", {"language": "en"})

    assert "Sessions" in browser.text("/profile")
    assert browser.post("/profile/language", {"language": "xx"}).status_code == 422


def test_one_session_or_all_others_are_ended(site: TestSite) -> None:
    here, there, third = site.browser(), site.browser(), site.browser()
    ends = re.findall(r"/profile/sessions/([0-9a-f]{64})/end", here.get("/profile").text)
    assert len(ends) == 2

    here.post(f"/profile/sessions/{ends[0]}/end")

    left = [each.get("/profile").status_code for each in (there, third)]
    assert sorted(left) == [200, 303]
    here.post("/profile/sessions/others/end")
    assert [each.get("/profile").status_code for each in (here, there, third)] == [200, 303, 303]


def test_nobody_ends_sessions_of_others(site: TestSite) -> None:
    site.employee("petrov")
    admin, petrov = site.browser(), site.browser("petrov")
    site.browser()
    foreign = re.findall(r"/profile/sessions/([0-9a-f]{64})/end", admin.get("/profile").text)[0]

    assert petrov.post(f"/profile/sessions/{foreign}/end").status_code == 404
