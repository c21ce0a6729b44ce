"""The API's page for people: all operations by section, and each with its parameters, answers and a command."""

from __future__ import annotations

from crm.api.document import described, operations
from crm.rights import Right
from tests.crm.web.site import TestSite, plain


def test_all_operations_are_listed_with_what_they_do(site: TestSite) -> None:
    page = site.browser().get("/api").text

    for path, _, each in operations(described(site.app)):
        assert f'href="/api?show={each["operationId"]}"' in page
        assert path in page


def test_an_operation_is_shown_with_a_command_to_copy(site: TestSite) -> None:
    site.employee("petrov", [Right.TOKENS_EDIT])
    page = plain(site.browser("petrov").get("/api?show=create_cities").text)

    assert "curl -X POST http://testserver.local/api/v1/cities" in page
    assert "Authorization: Bearer td_…" in page
    assert "Idempotency-Key: " in page
    assert "Asia/Yekaterinburg" in page
    for code in ("201", "400", "401", "409", "413", "415", "422", "429"):
        assert code in page


def test_parameters_say_what_they_are(site: TestSite) -> None:
    page = plain(site.browser().get("/api?show=list_flats").text)

    assert "house_id query" in page
    assert "the `next` of the page before" in page


def test_an_operation_that_there_is_not_is_no_page(site: TestSite) -> None:
    assert site.browser().get("/api?show=nothing").status_code == 404


def test_it_stands_in_the_menu_of_who_makes_tokens_and_is_for_nobody_else_outside(site: TestSite) -> None:
    site.employee("petrov", [Right.TOKENS_EDIT])
    site.employee("keys", [Right.KEYS_VIEW])

    assert 'href="/api"' in site.browser("petrov").get("/profile").text
    assert 'href="/api"' not in site.browser("keys").get("/profile").text
    assert site.browser("").get("/api").headers["location"] == "/sign-in?next=%2Fapi"
