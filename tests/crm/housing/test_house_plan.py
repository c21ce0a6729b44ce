"""How a house is read as it is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.housing.plan import HousePlan, natural, plan, read_doors, read_numbers


def planned(text: str, floors: str = "", per_floor: int | None = None) -> HousePlan:
    return plan(read_doors(text, floors, per_floor))


def floors_of(text: str, floors: str = "", per_floor: int | None = None) -> dict[int | None, list[str]]:
    """The flats of the first entrance by floor."""
    found: dict[int | None, list[str]] = {}
    for flat in planned(text, floors, per_floor).doors[0].flats:
        found.setdefault(flat.floor, []).append(flat.number)
    return found


def fault(text: str, floors: str = "", per_floor: int | None = None) -> str:
    """The first thing that is wrong."""
    return str(next(iter(planned(text, floors, per_floor).faults.values())))


def test_flats_of_two_entrances_are_shared_out_to_floors() -> None:
    house = planned("1: 1-36; 2: 37-72", "9")
    assert [door.name for door in house.doors] == ["п. 1", "п. 2"]
    assert house.flats == 72
    assert {flat.floor for flat in house.doors[1].flats[:4]} == {1}
    assert house.doors[1].flats[-1].number == "72"
    assert house.doors[1].flats[-1].floor == 9


def test_floors_may_begin_on_the_second_and_stand_at_one_entrance() -> None:
    assert floors_of("1: 1-4 (2-3); 2: 5-8", "9") == {2: ["1", "2"], 3: ["3", "4"]}


def test_flats_on_a_floor_say_where_each_is() -> None:
    assert floors_of("1: 1-7", per_floor=3) == {1: ["1", "2", "3"], 2: ["4", "5", "6"], 3: ["7"]}
    assert floors_of("1: 1-4 (2-9 ×2)") == {2: ["1", "2"], 3: ["3", "4"]}
    assert floors_of("1: 1-4 (×2)", "2-9") == {2: ["1", "2"], 3: ["3", "4"]}


def test_gaps_and_letters_keep_their_order() -> None:
    assert floors_of("1: 1-3, 5, 5а-5в, 14А") == {None: ["1", "2", "3", "5", "5а", "5б", "5в", "14А"]}


def test_a_range_of_entrances_has_as_many_flats_each() -> None:
    doors = planned("1-4: 1-144 (9)").doors
    assert [(door.name, len(door.flats), door.flats[0].number) for door in doors] == [
        ("п. 1", 36, "1"),
        ("п. 2", 36, "37"),
        ("п. 3", 36, "73"),
        ("п. 4", 36, "109"),
    ]


def test_lines_are_as_good_as_semicolons_and_names_stand_as_they_are() -> None:
    assert [door.name for door in planned("1: 1-2\nарка: 3\n\nподвал").doors] == ["п. 1", "арка", "подвал"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1: 36-1", "36-1 is no range"),
        ("1: 1-5а", "1-5а is no range"),
        ("1: 5г-5а", "5г-5а is no range"),
        ("1: 1-99999", "at most 3000 flats"),
        ("1: !", "! is no flat"),
        ("1: 1-3, 2", "flat 2 stands here twice"),
        ("1: 1-36; 2: 36-72", "flat 36 is at п. 1 already"),
        ("1: 1; п. 1: 2", "this entrance stands here twice"),
        ("1-36", "an entrance stands before its flats"),
        (": 1-36", "a name of 1 to 64"),
        ("1-4: 1-10", "10 flats cannot be shared out evenly to 4"),
        ("4-1: 1-10", "a range of entrances"),
        ("1: 1-36 (0-x)", "floors are like"),
        ("1: 1-36 (9-2)", "floors are like"),
        ("1: 1-3 (9)", "more floors (9) than flats (3)"),
        ("1: 1-36 (2-9 ×4)", "36 flats do not fit on 8 floors with 4 on each"),
        ("1: 1-36 (9", "is no flat"),
        (";".join(f"{n}: {n}" for n in range(1, 70)), "at most 3000 flats and 60 entrances"),
    ],
)
def test_what_is_wrong_is_said_at_its_entrance(text: str, said: str) -> None:
    assert said in fault(text)


def test_a_number_that_is_taken_is_said() -> None:
    house = plan(read_doors("1: 1-3; 2: 4-5"), ["4"])
    assert {n: str(each) for n, each in house.faults.items()} == {1: "flat 4 is there already"}


def test_numbers_are_sorted_as_people_do() -> None:
    assert sorted(["10", "2", "5а", "5", "офис 2", "1"], key=natural) == [
        "1",
        "2",
        "5",
        "5а",
        "10",
        "офис 2",
    ]


def test_a_list_of_flats_is_read_or_refused() -> None:
    assert read_numbers("1-3, 7") == ["1", "2", "3", "7"]
    with pytest.raises(ValueError, match="3-1 is no range"):
        read_numbers("3-1")


@given(st.text(max_size=60), st.text(max_size=8), st.none() | st.integers(1, 100))
def test_whatever_is_typed_is_a_plan_or_faults(text: str, floors: str, per_floor: int | None) -> None:
    house = planned(text, floors, per_floor)
    assert house.flats <= 3000 or house.faults
    assert all(str(each) for each in house.faults.values())
