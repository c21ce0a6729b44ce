"""What docs/api.md says holds: its commands work, its errors are those that there are, what pages do the API does."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.routes import HTTPRoute

from crm.api.document import described, operations
from crm.api.problems import TITLES
from crm.store import Store
from crm.web.api_pages import Operation, curl_of
from tests.crm.api.described import new_token, open_town
from tests.crm.web.site import TestSite

GUIDE = (Path(__file__).parents[3] / "docs/api.md").read_text()
COMMANDS = [each.strip() for each in re.findall(r"```\n(curl .*?)```", GUIDE, re.DOTALL)]
HOST = "http://teledom.test"


@pytest.fixture(scope="module")
def town(empty_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestSite]:
    folder = tmp_path_factory.mktemp("town")
    shutil.copy(empty_file, folder / "crm.db")
    with Store(f"sqlite:///{folder}/crm.db") as store, open_town(store, folder / "imports") as site:
        yield site


def run(site: TestSite, command: str) -> int:
    """Do what a curl command says; the status."""
    words = shlex.split(command.replace("\\\n", " "))
    assert words.pop(0) == "curl"
    method, headers, body, address = "GET", {}, None, ""
    while words:
        match words.pop(0):
            case "-X":
                method = words.pop(0)
            case "-H":
                name, _, value = words.pop(0).partition(": ")
                headers[name] = value
            case "-d":
                body = words.pop(0).encode()
            case other:
                address = other
    client = site.browser("").client
    return client.request(method, address.removeprefix(HOST), headers=headers, content=body).status_code


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 5


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each[-60:])
def test_a_command_of_the_guide_does_what_it_says(town: TestSite, command: str) -> None:
    token = new_token(town.store)
    status = run(town, command.replace("$TOKEN", token).replace("$TELEDOM", HOST))
    assert 200 <= status < 300


def test_commands_of_the_page_are_understood(town: TestSite) -> None:
    token = new_token(town.store)
    for path, method, each in operations(described(town.app)):
        if method == "get":
            one = Operation(each["operationId"], "GET", path, each["summary"], each)
            status = run(town, curl_of(one, HOST, token))
            assert status in (200, 404, 409, 422), (path, status)


def test_all_errors_are_named() -> None:
    for status, (kind, _) in TITLES.items():
        line = next(each for each in GUIDE.splitlines() if each.startswith("|") and str(status) in each[:12])
        assert f"/problems/{kind}" in line


# What pages change, and the operations that do it. "": the guide says why there is none.
DONE_BY = {
    "/blocks": "block_flats",
    "/blocks/preview": "preview_flat_blocks",
    "/blocks/take-back": "take_flat_blocks_back",
    "/blocks/{id}/take-back": "take_flat_blocks_back",
    "/billing/read": "read_billing_now",
    "/company/{id}/billing": "synchronise_company",
    "/company/{id}/code": "make_code_of_company",
    "/company/{id}/houses": "change_houses",
    "/company/{id}/houses/{house}/remove": "change_houses",
    "/domophone/{id}/open": "open_door_of_domophone",
    "/domophone/{id}/reset": "reset_domophone",
    "/entrance/{id}/delete": "delete_entrance_whole",
    "/flat/{id}/ring": "ring_flat",
    "/house/{id}/add": "create_flats_of_house",
    "/house/{id}/delete": "delete_house_whole",
    "/house/{id}/gate": "create_gate",
    "/house/{id}/numbers": "set_numbers_of_house",
    "/house/{id}/panels": "put_domophones_of_entrances",
    "/house/{id}/panels/remove": "take_domophones_of_entrances",
    "/houses/new": "create_house_whole",
    "/houses/preview": "",
    "/imports/new/{kind}": "create_import",
    "/imports/{id}/cancel": "cancel_import",
    "/imports/{id}/check": "check_import",
    "/imports/{id}/write": "write_import",
    "/key/add": "add_key",
    "/key/import": "import_keys",
    "/key/import/preview": "preview_keys",
    "/key/{id}/bind": "change_bindings_of_key",
    "/key/{id}/found": "find_key_again",
    "/key/{id}/lost": "lose_key",
    "/key/{id}/unbind/{kind}/{ref}": "change_bindings_of_key",
    "/move-in": "move_in",
    "/profile/language": "",
    "/profile/password": "",
    "/profile/second-factor": "",
    "/profile/second-factor/confirm": "",
    "/profile/second-factor/off": "",
    "/profile/sessions/others/end": "",
    "/profile/sessions/{session}/end": "",
    "/quality-campaigns": "create_quality_campaign",
    "/quality/campaigns/{id}/state": "set_state_of_quality_campaign",
    "/quality/flats/{id}/test": "create_quality_test_of_flat",
    "/relay-channel/{id}/open": "open_relay_channel",
    "/relay/{id}/reset": "reset_relay",
    "/resident/{id}/move-out/{flat}": "move_out",
    "/sign-in": "",
    "/sign-in/code": "",
    "/sign-out": "",
    "/sos/numbers": "put_sos_numbers",
    "/sos/tests": "ask_sos_test",
    "/sos/tests/{id}/take-back": "take_sos_test_back",
    "/staff/employees/new": "create_employees",
    "/staff/employees/{id}/active": "change_employees",
    "/staff/employees/{id}/edit": "change_employees",
    "/staff/employees/{id}/password": "put_password_of_employee",
    "/staff/employees/{id}/second-factor/reset": "reset_second_factor_of_employee",
    "/staff/employees/{id}/sessions/end": "end_sessions_of_employee",
    "/staff/employees/{id}/sessions/{session}/end": "",
    "/staff/employees/{id}/unlock": "unlock_employee",
    "/staff/groups/new": "create_groups",
    "/staff/groups/{id}/delete": "delete_groups",
    "/staff/groups/{id}/edit": "put_groups",
    "/staff/tokens/new": "create_tokens",
    "/staff/tokens/{id}/revoke": "revoke_token",
    # All kinds of record
    "/{name}": "create_flats",
    "/{name}/{id}": "change_flats",
    "/{name}/{id}/delete": "delete_flats",
    "/{name}/{id}/{link}": "put_flats_of_accounts",
    "/{name}/{id}/{link}/{other}/remove": "take_flats_of_accounts",
}


def test_everything_that_pages_change_the_api_changes(town: TestSite) -> None:
    there = {each["operationId"] for _, _, each in operations(described(town.app))}
    pages = {
        re.sub(r":\w+}", "}", route.path)
        for route in town.app.routes
        if isinstance(route, HTTPRoute) and not route.path.startswith("/api/")
        for handler, _ in route.route_handler_map.values()
        if "POST" in handler.http_methods
    }
    assert pages == DONE_BY.keys()
    assert {name for name in DONE_BY.values() if name} <= there
