"""Keys as people and readers write them: whatever a UID is written as, it is found again, and nothing else is a key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm.keys.formats import KeyFormat, Sure, canonical, is_dallas, tails, ways, written

UIDS = st.binary(min_size=3, max_size=10).filter(any).map(lambda data: data.hex().upper())


@given(UIDS)
def test_a_uid_written_in_any_way_is_found_again(uid: str) -> None:
    for format, text in written(uid).items():
        found = [reading for reading in ways(text) if reading.format is format]
        assert any(r.uid == uid or (r.part and uid.endswith(r.uid)) for r in found), (format, text)


@given(UIDS, st.sampled_from([":", "-", " ", "."]), st.booleans())
def test_separators_and_small_letters_change_nothing(uid: str, between: str, small: bool) -> None:
    text = between.join(uid[n : n + 2] for n in range(0, len(uid), 2))
    text = text.lower() if small else text
    assert canonical(text, KeyFormat.HEX) == uid
    assert canonical("0x" + uid.lower(), KeyFormat.HEX) == uid


@given(st.text(max_size=40))
def test_any_text_has_readings_that_are_uids_or_none(text: str) -> None:
    for reading in ways(text):
        assert written(reading.uid)[KeyFormat.HEX] == reading.uid


@pytest.mark.parametrize(
    ("text", "format", "uid"),
    [
        ("04:A1:B2:C3", KeyFormat.HEX, "04A1B2C3"),
        ("04-a1-b2-c3", KeyFormat.HEX, "04A1B2C3"),
        ("4:a1:b2:c3", KeyFormat.HEX, "04A1B2C3"),
        ("c3b2a104", KeyFormat.HEX_REVERSED, "04A1B2C3"),
        ("00000004A1B2C3", KeyFormat.HEX_PADDED, "04A1B2C3"),
        ("0012345678", KeyFormat.DECIMAL, "00BC614E"),
        ("12345678", KeyFormat.DECIMAL, "BC614E"),
        ("3283263748", KeyFormat.DECIMAL_REVERSED, "04A1B2C3"),
        ("188,24910", KeyFormat.WIEGAND_26, "BC614E"),
        ("188/24910", KeyFormat.WIEGAND_26, "BC614E"),
        ("00188,24910", KeyFormat.WIEGAND_34, "00BC614E"),
        ("0012345678 188,24910", KeyFormat.EM_PRINTED, "00BC614E"),
        ("0012345678 (188/24910)", KeyFormat.EM_PRINTED, "00BC614E"),
        ("02-00000001B81C-A2", KeyFormat.DALLAS, "021CB801000000A2"),
    ],
)
def test_the_usual_ways_of_writing_a_key(text: str, format: KeyFormat, uid: str) -> None:
    assert canonical(text, format) == uid


def test_the_surest_reading_comes_first() -> None:
    assert ways("0012345678")[0].format is KeyFormat.DECIMAL
    assert ways("04A1B2C3")[0].format is KeyFormat.HEX
    assert ways("188,24910")[0].format is KeyFormat.WIEGAND_26
    assert ways("0012345678 188,24910")[0].sure is Sure.CERTAIN


def test_a_printed_number_that_contradicts_itself_is_no_key() -> None:
    assert ways("0012345678 188,24911") == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  ",
        "key",
        "04",
        "0000000000",
        "04A1B2C3D4E5F60718293A",
        "300,70000,1",
        "70000,70000",
        "०१२३४५६७८९",
    ],
)
def test_what_is_no_key_has_no_readings(text: str) -> None:
    assert ways(text) == ()


def test_a_format_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"'04A1B2C3' is no key written as wiegand_26"):
        canonical("04A1B2C3", KeyFormat.WIEGAND_26)
    with pytest.raises(ValueError, match="3 to 10 bytes of hex"):
        written("04a1")


def test_a_touch_memory_is_known_by_its_check_sum() -> None:
    data = bytes.fromhex("021CB801000000A2")  # the example of Maxim's application note 27
    assert is_dallas(data)
    assert not is_dallas(data[:-1] + b"\x00")
    assert ways(data.hex())[0].sure is Sure.CERTAIN


def test_the_last_bytes_are_told_alike_by_all_readers_of_a_long_key() -> None:
    assert "BC614E" in tails("4B00BC614E")
    assert canonical("188,24910", KeyFormat.WIEGAND_26) in tails("4B00BC614E")
    assert tails("BC614E") == frozenset()
