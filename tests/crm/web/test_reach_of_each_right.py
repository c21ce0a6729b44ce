"""Each right reaches as far as it was given, and no further because another one does.

Somebody has one right everywhere, and all others within one company's houses. What he may see of the other company by
that one right is told by words that are of one kind of thing alone (`OF`); all others are looked for in each page.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from crm.rights import EVERYWHERE, Right
from crm.staff.groups import create_group
from crm.staff.staff import create_employee
from crm.store import Store
from crm.who import COMMAND_LINE
from tests.crm.web.site import CHEAP, PASSWORD, TestSite
from tests.crm.web.town import REACH, open_town
from tests.crm.web.two_companies import FOREIGN, NOW
from tests.crm.web.walking import filled, parts_of, routes

WORD = FOREIGN.word.lower()
# What shows that something of the other company is told, and the rights by which it may be.
OF: dict[str, frozenset[Right]] = {
    f"call-{WORD}": frozenset({Right.CALLS_VIEW, Right.SOS_VIEW, Right.QUALITY_VIEW, Right.BOARD_VIEW}),
    f"{WORD} иван": frozenset({Right.PEOPLE_VIEW, Right.KEYS_VIEW}),  # a key says whose it is
    f"reason {WORD}": frozenset({Right.BLOCKS_VIEW}),
    f"given {WORD}": frozenset({Right.KEYS_VIEW}),
    f"key {WORD}": frozenset({Right.KEYS_VIEW, Right.DEVICES_VIEW}),  # why a panel could not be told
    FOREIGN.uid.lower(): frozenset({Right.KEYS_VIEW}),
    f"a-{WORD}": frozenset({Right.PEOPLE_VIEW, Right.CALLS_VIEW}),
    f"result {WORD}": frozenset({Right.SOS_VIEW}),
    f"line {WORD}": frozenset({Right.QUALITY_VIEW}),
    f"campaign {WORD}": frozenset({Right.QUALITY_VIEW}),
    f"who {WORD}": frozenset({Right.CHANGES_VIEW, Right.IMPORTS_RUN}),
    f"was {WORD}": frozenset({Right.CHANGES_VIEW}),
    f"by {WORD}": frozenset({Right.CODES_VIEW}),
    f"panel {WORD}": frozenset({Right.CODES_VIEW, Right.DEVICES_VIEW}),
    f"c-{WORD}": frozenset({Right.HOUSING_VIEW, Right.COMPANIES_VIEW}),
    f"h-{WORD}": frozenset({Right.HOUSING_VIEW}),
    f"b-{WORD}": frozenset({Right.COMPANIES_VIEW}),
    f"x-{WORD}": frozenset({Right.COMPANIES_VIEW}),
    f"user{WORD}": frozenset({Right.DEVICES_VIEW}),
    f"m{WORD}": frozenset({Right.DEVICES_VIEW}),
    f"{WORD}.app": frozenset({Right.PEOPLE_VIEW}),
}
FAR = [
    right
    for right in Right
    if right.value.endswith(".view") and right.value.split(".")[0] not in ("staff", "codes")
]
RECORDINGS = ("/recording", "/whole", "/in", "/out")


@pytest.fixture
def town(store: Store, url: str, tmp_path: Path) -> Iterator[TestSite]:
    with open_town(store, url, tmp_path) as site:
        yield site


@pytest.mark.parametrize("right", FAR, ids=lambda right: right.value)
def test_one_right_everywhere_lets_nothing_else_be_seen(town: TestSite, right: Right) -> None:
    others = [each for each in Right if each is not right]
    groups = [
        create_group(town.store, COMMAND_LINE, "far", [right], EVERYWHERE, NOW),
        create_group(town.store, COMMAND_LINE, "near", others, REACH, NOW),
    ]
    create_employee(town.store, COMMAND_LINE, CHEAP, "mixed", "Mixed", PASSWORD, groups, NOW, language="en")
    browser = town.browser("mixed")
    faults = []
    for _, path in routes(town, "GET"):
        if not parts_of(path) or path.startswith(("/api/", "/pick/")) or path.endswith("/events"):
            continue
        for way in filled(path, *[FOREIGN] * len(parts_of(path))):
            answer = browser.get(way)
            if answer.status_code != 200:
                continue
            text = answer.text.lower()
            told = [
                mark
                for mark, by in OF.items()
                if mark in text and mark not in way.lower() and right not in by
            ]
            if told:
                at = text.index(told[0])
                faults.append(f"{way} tells {told}: …{text[max(0, at - 200) : at + 60]}…")
            if way.endswith(RECORDINGS) and right is not Right.CALLS_LISTEN:
                faults.append(f"{way} is heard")
    assert not faults, "\n".join(faults)
