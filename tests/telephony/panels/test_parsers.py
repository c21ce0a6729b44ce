"""What is made of a panel's answer: any bytes are a result or a `PanelError`, and never anything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telephony.panels import beward, hikvision, qtech, sokol
from telephony.panels.http import Answer, number
from telephony.panels.interface import (
    Idle,
    LineState,
    PanelAnswer,
    PanelBusy,
    PanelError,
    PanelRefused,
    Registration,
)
from tests.telephony.panels.panels import answer

PARSERS: list[Callable[[Answer], object]] = [
    beward.line_level,
    beward.flat_bounds,
    beward.account_state,
    sokol.resistance,
    sokol.flat_levels,
    sokol.account_state,
    qtech.line_state,
    qtech.account_state,
    lambda answer: qtech.analog_number(answer, "17"),
    hikvision.call_status,
    hikvision.done,
    beward.listed_keys,
    beward.done,
    sokol.listed_keys,
    sokol.done,
    qtech.rows_by_code,
    hikvision.applied,
]
WORDS = [
    "resist", "status", "up", "errors", "resistances", "quiescent", "answer", "registerStatus", "retcode", "data",
    "result", "line_err1", "line_err2", "line_err3", "AccountStatus", "SipAccount", "prefix", "replace1", "17",
    "CallStatus", "idle",
]  # fmt: skip
NAMES = st.sampled_from(WORDS)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
LINES = st.lists(
    st.sampled_from(
        [
            "Request failed:Busy",
            "Request failed:",
            "AccountReg1=",
            "HandsetUpLevel=",
            "DoorOpenLevel=1e9",
            "=",
            "12",
        ]
    )
    | st.text(max_size=12)
)
CONTENTS = (
    st.binary(max_size=200)
    | VALUES.map(msgspec.json.encode)
    | LINES.map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
    | st.sampled_from(
        [b"[" * 60_000, b'{"resist":' * 10_000, b"9" * 60_000, b'{"resist":1' + b"0" * 5000 + b"}"]
    )
)


@settings(deadline=None)  # another process may have the machine
@given(CONTENTS, st.sampled_from([200, 204, 302, 404, 500]))
def test_any_bytes_are_a_result_or_a_panel_error(content: bytes, status: int) -> None:
    for parse in PARSERS:
        with suppress(PanelError):
            parse(answer(content, status))


@given(st.floats() | st.integers() | st.text() | st.none() | st.booleans())
def test_a_number_is_finite_or_none(value: object) -> None:
    result = number(value)
    assert result is None or math.isfinite(result)


@given(
    st.floats(allow_nan=False, width=32),
    st.floats(allow_nan=False, width=32),
    st.floats(allow_nan=False, width=32),
)
def test_a_level_is_told_from_the_two_bounds_in_one_way_only(level: float, low: float, high: float) -> None:
    match beward.state_of(level, (low, high)):
        case LineState.ON_HOOK:
            assert 0 < level < low
        case LineState.OFF_HOOK:
            assert low <= level < high
        case told:
            assert told is LineState.LEVEL


@pytest.mark.parametrize("text", [b"Request failed:Busy", b"Request failed: busy\r\n"])
@pytest.mark.parametrize("status", [200, 503])
def test_beward_is_busy_whatever_the_status(text: bytes, status: int) -> None:
    with pytest.raises(PanelBusy):
        beward.line_level(answer(text, status))


def test_beward_refuses_in_its_own_words() -> None:
    with pytest.raises(PanelRefused, match="Invalid apartment"):
        beward.line_level(answer(b"Request failed:Invalid apartment"))


@pytest.mark.parametrize("text", [b"", b"nan", b"1 2", b"0x10", "١٢".encode(), b"AccountReg1=1"])
def test_what_is_no_level_is_not_taken_for_one(text: bytes) -> None:
    with pytest.raises(PanelAnswer, match="no level"):
        beward.line_level(answer(text))


@pytest.mark.parametrize(
    ("data", "state"),
    [
        ('{"result":1}', LineState.ON_HOOK),
        ('{"result":true,"line_err1":1}', LineState.ON_HOOK),
        ('{"result":0,"line_err1":1,"line_err2":0,"line_err3":0}', LineState.SHORT),
        ('{"result":0,"line_err1":0,"line_err2":1,"line_err3":0}', LineState.OPEN),
        ('{"result":"0","line_err1":"0","line_err2":"0","line_err3":"1"}', LineState.OFF_HOOK),
        ('{"result":0,"line_err1":0,"line_err2":0,"line_err3":0}', LineState.ON_HOOK),
    ],
)
def test_qtechs_three_flags_are_three_states(data: str, state: LineState) -> None:
    assert qtech.line_state(answer(f'{{"retcode":0,"data":{data}}}'.encode())) is state


@pytest.mark.parametrize("data", ["{}", '{"result":0}', '{"result":0,"line_err1":0,"line_err2":0}'])
def test_a_line_of_which_qtech_tells_nothing_is_not_called_well(data: str) -> None:
    with pytest.raises(PanelAnswer, match="does not tell"):
        qtech.line_state(answer(f'{{"retcode":0,"data":{data}}}'.encode()))


def test_qtechs_retcode_is_a_refusal_though_the_status_is_200() -> None:
    with pytest.raises(PanelRefused, match="no permission"):
        qtech.account_state(answer(b'{"retcode":-1,"message":"no permission"}'))


def test_qtechs_analog_number_is_that_of_the_flat_and_else_the_flats_own() -> None:
    plan = answer(
        b'{"retcode":0,"data":{"num":2,"0":{"prefix":"7","replace1":"01"},"1":{"prefix":17,"replace1":5}}}'
    )
    assert qtech.analog_number(plan, "7") == "01"
    assert qtech.analog_number(plan, "17") == "5"
    assert qtech.analog_number(plan, "1") == "1"


@pytest.mark.parametrize(("word", "idle"), [("idle", Idle.YES), ("ring", Idle.NO), ("onCall", Idle.NO)])
def test_hikvisions_words_for_a_call(word: str, idle: Idle) -> None:
    assert hikvision.call_status(answer(f'{{"CallStatus":{{"status":"{word}"}}}}'.encode())) is idle


def test_a_word_that_hikvision_was_not_known_to_use_is_no_guess() -> None:
    with pytest.raises(PanelAnswer, match="dismissed"):
        hikvision.call_status(answer(b'{"CallStatus":{"status":"dismissed"}}'))


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (beward.account_state, b"AccountReg2=0\r\n"),
        (sokol.account_state, b'{"model":"ISCom X1"}'),
        (qtech.account_state, b'{"retcode":0,"data":{"SipAccount":{"AccountID":"0"}}}'),
    ],
    ids=["beward", "sokol", "qtech"],
)
def test_a_registration_that_is_not_in_the_answer_is_not_told(
    parse: Callable[[Answer], Registration], content: bytes
) -> None:
    assert parse(answer(content)) is Registration.NOT_TOLD


def test_sokols_levels_count_whichever_is_the_higher() -> None:
    assert sokol.state_of(4100, (4000, 800)) is LineState.ON_HOOK
    assert sokol.state_of(700, (800, 4000)) is LineState.ON_HOOK
    assert sokol.state_of(4100, (800, 4000)) is LineState.OFF_HOOK
    assert sokol.state_of(255, (255, 255)) is LineState.LEVEL
    assert sokol.state_of(255, None) is LineState.LEVEL
    assert sokol.state_of(0, (4000, 800)) is LineState.LEVEL
    assert sokol.state_of(-1, (0, -1)) is LineState.LEVEL


def test_sokols_own_word_is_not_overruled_by_levels() -> None:
    assert sokol.resistance(answer(b'{"resist":4100,"status":"unknown"}')) == (4100, LineState.LEVEL)
    assert sokol.resistance(answer(b'{"resist":4100}')) == (4100, None)


def test_sokol_refuses_with_errors_though_the_status_is_200() -> None:
    with pytest.raises(PanelRefused, match="no such panelCode"):
        sokol.resistance(answer(b'{"errors":[{"message":"no such panelCode"}]}'))


@pytest.mark.parametrize("content", [b"", b"<ResponseStatus><statusCode>1</statusCode></ResponseStatus>"])
def test_hikvision_did_what_it_was_told(content: bytes) -> None:
    hikvision.done(answer(content))


def test_hikvision_refuses_in_xml_though_the_status_is_200() -> None:
    with pytest.raises(PanelRefused, match="statusCode 4"):
        hikvision.done(answer(b"<ResponseStatus><statusCode>4</statusCode></ResponseStatus>"))
