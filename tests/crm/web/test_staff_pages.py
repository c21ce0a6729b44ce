"""Employees, groups, tokens and the history in pages: made, changed, and only by who may."""

from __future__ import annotations

import re

from crm.rights import Reach, Right
from crm.staff.groups import find_groups
from crm.staff.staff import get_self
from crm.who import SYSTEM
from tests.crm.houses import Houses
from tests.crm.web.site import PASSWORD, TestSite


def test_an_employee_is_made_put_into_a_group_and_signs_in(site: TestSite) -> None:
    admin = site.browser()
    rights = ["housing.view", "housing.edit"]
    group = admin.post("/staff/groups/new", {"name": "Диспетчеры", "rights": rights, "everywhere": "yes"})
    group_id = group.headers["location"].rpartition("/")[2]
    form = {"login": "Petrov", "name": "Пётр Петров", "password": PASSWORD, "language": "ru"}

    made = admin.post("/staff/employees/new", {**form, "groups": group_id})

    assert made.status_code == 303
    assert "Диспетчеры" in admin.text(made.headers["location"])
    assert "Пётр Петров" in admin.text(group.headers["location"])
    petrov = site.browser("petrov")
    assert petrov.get("/houses").status_code == 200
    assert petrov.get("/residents").status_code == 403
    assert petrov.get("/staff/employees/new").status_code == 403
    assert petrov.get("/employees").status_code == 403


def test_what_is_wrong_with_an_employee_is_said_in_ones_language(site: TestSite) -> None:
    answer = site.browser().post(
        "/staff/employees/new", {"login": "я", "name": "Пётр", "password": "short", "language": "ru"}
    )

    assert answer.status_code == 422
    assert "в пароле должно быть от 10 до 200 символов" in answer.text
    assert "латинских букв" in answer.text
    assert 'value="Пётр"' in answer.text
    assert "short" not in answer.text.partition('<form class="record')[2]


def test_a_taken_login_is_said_with_its_name_in_ones_language(site: TestSite) -> None:
    answer = site.browser().post(
        "/staff/employees/new", {"login": "admin", "name": "X", "password": PASSWORD, "language": "ru"}
    )

    assert "сотрудник admin уже есть: возьмите другой логин" in answer.text


def test_a_groups_name_is_no_markup(site: TestSite) -> None:
    browser = site.browser()
    name = "<b>100%</b>"
    form = {"name": name, "rights": "housing.view", "everywhere": "yes"}
    browser.post("/staff/groups/new", form)

    again = browser.post("/staff/groups/new", form)

    assert again.status_code == 422
    assert name not in again.text
    assert "&lt;b&gt;100%&lt;/b&gt;" in again.text


def test_places_are_added_to_a_group_before_it_is_saved(site: TestSite, houses: Houses) -> None:
    house = houses.house("5")
    browser = site.browser()
    form = {
        "name": "Дом",
        "rights": "housing.view",
        "everywhere": "no",
        "add_houses": f"ул. Ленина 5 #{house}",
    }

    added = browser.post("/staff/groups/new", {**form, "more": "yes"})

    assert added.status_code == 200
    assert f'name="houses" value="{house}" checked' in added.text
    assert not [each for each in find_groups(site.store, SYSTEM) if each.name == "Дом"]
    browser.post("/staff/groups/new", {**form, "add_houses": "", "houses": str(house)})
    saved = next(each for each in find_groups(site.store, SYSTEM) if each.name == "Дом")
    assert saved.reach == Reach(houses=frozenset({house}))


def test_deactivating_ends_sessions_at_once(site: TestSite) -> None:
    id = site.employee("petrov")
    petrov = site.browser("petrov")

    site.browser().post(f"/staff/employees/{id}/active?active=no")

    assert petrov.get("/profile").status_code == 303
    assert not get_self(site.store, id).active


def test_the_last_administrator_cannot_be_sent_away(site: TestSite) -> None:
    browser = site.browser()

    answer = browser.post("/staff/employees/1/active?active=no")

    assert answer.status_code == 409
    assert "не останется никого" in answer.text
    assert browser.get("/profile").status_code == 200


def test_who_keeps_staff_gives_nothing_that_he_has_not(site: TestSite) -> None:
    site.employee("keeper", [Right.STAFF_VIEW, Right.STAFF_EDIT])
    form = {"name": "Всё", "rights": [each.value for each in Right], "everywhere": "yes"}

    answer = site.browser("keeper").post("/staff/groups/new", form)

    assert answer.status_code == 422
    assert "nobody gives, takes or changes more than that" in answer.text


def test_a_token_is_shown_once_and_works_until_it_is_revoked(site: TestSite) -> None:
    browser = site.browser()
    page = browser.get("/staff/tokens/new").text
    ends = re.search(r'name="expires_at" value="([^"]+)"', page)
    assert ends
    form = {"name": "биллинг", "rights": "housing.view", "expires_at": ends[1], "group_id": ""}

    made = browser.post("/staff/tokens/new", form)

    secret = re.search(r"td_[\w-]{43}", made.text)
    id = re.search(r"/tokens/(\d+)", made.text)
    assert secret
    assert id
    assert made.headers["cache-control"] == "no-store"
    assert secret[0] not in browser.get(f"/tokens/{id[1]}").text
    program = site.browser("").client
    bearer = {"Authorization": f"Bearer {secret[0]}"}
    assert program.get("/api/v1/houses", headers=bearer).status_code == 200
    browser.post(f"/staff/tokens/{id[1]}/revoke")
    assert program.get("/api/v1/houses", headers=bearer).status_code == 401


def test_the_history_names_who_did_what_and_leads_to_it(site: TestSite, houses: Houses) -> None:
    browser = site.browser()
    browser.post(f"/cities/{houses.city}", {"region": "Урал"})

    text = browser.get("/staff/changes?entity=city").text

    assert f'href="/cities/{houses.city}"' in text
    assert "Урал" in text
    assert 'href="/employees/1"' in text
    assert "Урал" not in browser.get("/staff/changes?entity=employee").text
    assert "Урал" in browser.get("/staff/changes?employee_id=1").text


def test_sign_ins_and_the_history_are_for_who_may_everywhere(site: TestSite, houses: Houses) -> None:
    reach = Reach(houses=frozenset({houses.house("1")}))
    site.employee("manager", [Right.STAFF_VIEW, Right.CHANGES_VIEW, Right.HOUSING_VIEW], reach)
    browser = site.browser("manager")

    assert "admin" not in browser.text("/sign-ins")
    assert "admin" not in browser.text("/employees")
    assert "command line" not in browser.text("/changes").partition("CSV")[2]
    assert browser.get("/employees/1").status_code == 404


def test_there_is_no_empty_form_for_what_is_made_in_another_way(site: TestSite) -> None:
    admin = site.browser()

    for name in ("groups", "employees", "tokens", "sign-ins", "changes", "flat-blocks", "entrances"):
        assert admin.get(f"/{name}/new").status_code == 404, name
    assert admin.get("/cities/new").status_code == 200
