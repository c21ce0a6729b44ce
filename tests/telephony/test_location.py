"""What is handed to Asterisk of a location: nothing of a value may be more than text."""

from __future__ import annotations

import re

import pytest

from telephony.location import VALUE_BYTES, Civic, Location, Point, location_variables

ADDRESS = Civic("RU", "Челябинская область", "Челябинск", "ул. Ленина", "5", "п. 1", "2", "слева от двери")
POINT = Point(55.1599, 61.4026)


def listed(variables: dict[str, str]) -> dict[str, str]:
    """The civic elements, as Asterisk reads the list and puts each variable's value in."""
    pairs = (pair.split("=") for pair in variables["GEOLOC_PROFILE(location_info)"].split(","))
    return {name: variables[value.removeprefix("${").removesuffix("}")] for name, value in pairs}


def test_an_address_is_sent_in_the_elements_of_rfc_5139() -> None:
    variables = location_variables(Location(ADDRESS))

    assert listed(variables) == {
        "country": "RU",
        "A1": "Челябинская область",
        "A3": "Челябинск",
        "RD": "ул. Ленина",
        "HNO": "5",
        "LOC": "п. 1, слева от двери",
        "FLR": "2",
    }
    assert variables["GEOLOC_PROFILE(format)"] == "civicAddress"
    assert variables["GEOLOC_PROFILE(method)"] == "Manual"
    assert variables["GEOLOC_PROFILE(allow_routing_use)"] == "yes"
    assert "GEOLOC_PROFILE(location_source)" not in variables


def test_a_point_follows_the_address_in_the_geolocation_header() -> None:
    variables = location_variables(Location(ADDRESS, POINT))

    assert variables["GEOLOC_PROFILE(location_source)"] == "teledom, <geo:55.159900,61.402600>"


def test_a_point_alone_is_the_location() -> None:
    variables = location_variables(Location(Civic("RU", "", ""), POINT))

    assert variables["GEOLOC_PROFILE(format)"] == "GML"
    assert variables["GEOLOC_PROFILE(location_info)"] == 'shape=Point,crs=2d,pos="55.159900 61.402600"'


def test_where_only_the_city_is_known_the_location_is_marked_as_a_default() -> None:
    variables = location_variables(Location(Civic("RU", "Челябинская область", "Копейск"), is_default=True))

    assert variables["GEOLOC_PROFILE(method)"] == "Default"
    assert listed(variables).keys() == {"country", "A1", "A3"}


def test_nothing_known_is_nothing_sent() -> None:
    assert location_variables(Location(Civic("RU", "", ""))) == {}
    assert location_variables(Location(Civic("", "", ""))) == {}


@pytest.mark.parametrize(
    "nasty",
    [
        'дом "Уют", корпус 2',
        "a=b,c='d'",
        "back\\slash\\",
        "${SHELL(reboot)}",
        "$[1+1]",
        "<b>]]></b>",
        '\\\\\\"',
    ],
)
def test_what_a_value_holds_is_never_part_of_the_list(nasty: str) -> None:
    variables = location_variables(Location(Civic("RU", "", "Челябинск", nasty, "5")))

    assert listed(variables)["RD"] == nasty
    assert re.fullmatch(r"(\w+=\$\{TD_LOC_\w+\},?)+", variables["GEOLOC_PROFILE(location_info)"])


def test_a_value_is_one_line_without_what_xml_may_not_hold() -> None:
    variables = location_variables(Location(Civic("RU", "", " Челя\u200bбинск\r\n\t(\x00центр\x1b)\ud800 ")))

    assert listed(variables)["A3"] == "Челябинск (центр)"


def test_an_ampersand_is_escaped_for_asterisks_xml() -> None:
    assert listed(location_variables(Location(Civic("RU", "", "A & B"))))["A3"] == "A &amp; B"


@pytest.mark.parametrize("letter", ["ж", "a", "&", "🏠"])
def test_a_long_value_is_cut_between_letters(letter: str) -> None:
    value = listed(location_variables(Location(Civic("RU", "", letter * 300))))["A3"]

    plain = value.replace("&amp;", "&")
    assert VALUE_BYTES - 5 < len(value.encode()) <= VALUE_BYTES
    assert plain == letter * len(plain)


def test_whose_location_it_is_stays_a_uri() -> None:
    variables = location_variables(Location(ADDRESS), entity='pres:+7351"${X}\r\n@teledom')

    assert variables["GEOLOC_PROFILE(id)"] == "pres:+7351X@teledom"
