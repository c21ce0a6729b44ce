"""config.toml: what is wrong in it is named with its line; what is right comes out with absolute paths."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

import config
from config import AriTransport, Config, ConfigError, DispatchConfig, Ringing
from settings import Range, Secret

SHIPPED = Path(config.__file__).parent / "config.toml"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a config.toml; its path."""

    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def wrong(path: Path, **env: str) -> list[str]:
    """The lines of the error that loading `path` raises, without the folder."""
    with pytest.raises(ConfigError) as caught:
        config.load(path, env, need_secrets=bool(env))
    assert str(caught.value) == "\n".join(caught.value.lines)
    assert all("\n" not in line for line in caught.value.lines)
    return [line.removeprefix(f"{path.parent}/") for line in caught.value.lines]


def test_a_dispatch_is_a_section_with_a_name_of_its_own(write: Write) -> None:
    fias = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"
    path = write(
        f'[dispatch.chel]\nfias = "{fias}"\ntrunks = ["edds-1", "edds-2"]\ncallers = ["+73512001112"]\n'
    )
    loaded = config.load(path, {}).dispatch
    assert set(loaded) == {"default", "chel"}
    assert loaded["chel"].trunks == ("edds-1", "edds-2")
    assert loaded["default"] == DispatchConfig()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('[dispatch.a]\ntrunks = ["x"]', '[dispatch.a] fias = "": the city\'s FIAS id is expected'),
        ('[dispatch.a]\nfias = "1"', '[dispatch.a] fias = "1": a FIAS id (a GUID), or nothing, is expected'),
        (
            '[dispatch.default]\ntrunks = ["a b"]',
            '[dispatch.default] trunks = ["a b"]: a list of endpoints of pjsip.conf is expected',
        ),
        (
            '[dispatch.default]\ntrunk = ["a"]',
            "[dispatch.default] trunk: unknown setting: did you mean trunks?",
        ),
        ('[dispatch."Ч 1"]', "[dispatch.Ч 1]: a short name in small letters is expected behind the dot"),
        ("dispatch = 5", "dispatch = 5: sections [dispatch.…] with settings are expected"),
        ("[sos]\nhold_s = 20000", "[sos] hold_s = 20000: at most keep_s, which is 10800, is expected"),
    ],
)
def test_what_is_wrong_with_a_dispatch_is_named_with_its_line(write: Write, text: str, error: str) -> None:
    lines = wrong(write(text))
    assert any(re.fullmatch(r"config\.toml:\d: " + re.escape(error), line) for line in lines), lines


# --- the file that goes with us ------------------------------------------------------------------------------------


def sections() -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for each in attrs.fields(Config):
        section = getattr(Config(), each.name)
        several = isinstance(section, Mapping)
        found += (
            [(f"{each.name}.{name}", one) for name, one in section.items()]
            if several
            else [(each.name, section)]
        )
    return found


def test_the_shipped_file_has_every_setting_with_its_default() -> None:
    expected = {
        name: {
            each.name: getattr(section, each.name)
            for each in attrs.fields(type(section))
            if not isinstance(each.metadata.get("rule"), Secret)
        }
        for name, section in sections()
    }
    plain = {
        name: {key: value.value if isinstance(value, Enum) else value for key, value in section.items()}
        for name, section in expected.items()
    }
    plain = {
        name: {key: [*v] if isinstance(v, tuple) else v for key, v in section.items()}
        for name, section in plain.items()
    }
    found = tomllib.loads(SHIPPED.read_text())
    for several in ("dispatch", "handset"):
        found |= {f"{several}.{name}": section for name, section in found.pop(several).items()}
    assert found == plain
    types = {name: {key: type(value) for key, value in section.items()} for name, section in found.items()}
    assert types == {name: {key: type(v) for key, v in section.items()} for name, section in plain.items()}


def test_the_shipped_file_names_the_range_of_every_number() -> None:
    lines = SHIPPED.read_text().splitlines()
    for name, section in sections():
        start = lines.index(f"[{name}]")
        for each in attrs.fields(type(section)):
            if not isinstance(rule := each.metadata.get("rule"), Range):
                continue
            at = next(n for n, line in enumerate(lines) if n > start and line.startswith(f"{each.name} ="))
            while not lines[at].startswith("#"):
                at -= 1
            comment = ""
            while lines[at].startswith("#"):
                comment = f"{lines[at][1:]} {comment}"
                at -= 1
            assert f"{rule.low:.15g} to {rule.high:.15g}" in comment, each.name


def test_every_default_is_within_its_own_rule() -> None:
    loaded = config.load(SHIPPED, {})
    assert (loaded.call, loaded.push, loaded.journal) == (Config().call, Config().push, Config().journal)


def test_an_empty_file_means_the_defaults(write: Write) -> None:
    loaded = config.load(write(""), {})
    assert loaded.call == Config().call
    assert loaded.ari == Config().ari


def test_the_shipped_file_tells_of_every_secret() -> None:
    for _, section in sections():
        for each in attrs.fields(type(section)):
            if isinstance(rule := each.metadata.get("rule"), Secret):
                assert rule.variable in SHIPPED.read_text()


# --- what is right -------------------------------------------------------------------------------------------------


def test_values_come_out_as_their_types(write: Write) -> None:
    text = (
        '[call]\nring_s = 45\nringing = "183"\n[ari]\nlanes = 3\ntransport = "http"\n[log]\nlevel = "debug"\n'
    )
    loaded = config.load(write(text), {})
    assert (loaded.call.ring_s, type(loaded.call.ring_s)) == (45.0, float)
    assert loaded.call.ringing is Ringing.PROGRESS_183
    assert loaded.ari.lanes == 3
    assert loaded.ari.transport is AriTransport.HTTP
    assert loaded.log.level == "debug"


def test_relative_paths_are_relative_to_the_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(
        '[node]\nstate_dir = "state"\n[ari]\nca_file = "ca.pem"\n[crm]\nurl = "sqlite:///db/crm.db"\n'
    )
    monkeypatch.chdir("/")
    loaded = config.load(path.relative_to("/"), {})
    assert loaded.node.state_dir == f"{path.parent}/state"
    assert loaded.ari.ca_file == f"{path.parent}/ca.pem"
    assert loaded.crm.url == f"sqlite:///{path.parent}/db/crm.db"


def test_absolute_paths_stay(write: Write) -> None:
    text = '[node]\nstate_dir = "/srv/td"\n[crm]\nurl = "sqlite:////srv/td/crm.db"\n'
    loaded = config.load(write(text), {})
    assert loaded.node.state_dir == "/srv/td"
    assert loaded.crm.url == "sqlite:////srv/td/crm.db"
    assert loaded.ari.ca_file == ""


def test_secrets_come_from_the_environment_and_are_not_shown(write: Write) -> None:
    env = {"TELEDOM_ARI_PASSWORD": "hush-1", "TELEDOM_PUSH_TOKEN": "hush-2"}
    loaded = config.load(write(""), env, need_secrets=True)
    assert (loaded.ari.password, loaded.push.token) == ("hush-1", "hush-2")
    assert "hush" not in repr(loaded)


@pytest.mark.parametrize(
    "line",
    [
        'node.http = "[::1]:8089"',
        'node.http = "node1.example:80"',
        'ari.url = "https://asterisk.example:8089/prefix/ari"',
        'push.url = "https://push.example/teledom?town=1"',
        'push.url = ""',
        'crm.url = "postgresql://teledom@db.example:5432/teledom?sslmode=verify-full"',
        'crm.url = "postgresql:///teledom"',
        'call.language = "pt_BR"',
        "ari.reconnect_min_s = 10",
        "ari.coalesce_ms = 0",
        "call = { ring_s = 5, talk_s = 6 }",
    ],
)
def test_these_are_accepted(write: Write, line: str) -> None:
    config.load(write(line), {})


# --- what is wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[call]\n\nring_s = "thirty"',
            'config.toml:3: [call] ring_s = "thirty": a number of seconds from 1 to 300 is expected',
        ),
        ("[call]\nring_s = true", "config.toml:2: [call] ring_s = true: a number of seconds from 1 to 300"),
        ("[call]\nring_s = 0.5", "config.toml:2: [call] ring_s = 0.5: a number of seconds from 1 to 300"),
        ("[call]\nring_s = nan", "config.toml:2: [call] ring_s = NaN: a number of seconds from 1 to 300"),
        ("[call]\nring_s = [30]", "config.toml:2: [call] ring_s = [30]: a number of seconds"),
        ("[ari]\nlanes = 2.0", "config.toml:2: [ari] lanes = 2.0: a whole number of lanes from 1 to 16"),
        ("[ari]\nlanes = true", "config.toml:2: [ari] lanes = true: a whole number of lanes"),
        (f"[ari]\nlanes = {10**30}", "config.toml:2: [ari] lanes = 1000"),
        ("[push]\nqueue = 0", "config.toml:2: [push] queue = 0: a whole number of pushes from 1 to 1000000"),
        ("[call]\nringing = 180", 'config.toml:2: [call] ringing = 180: one of "180", "183" is expected'),
        (
            '[ari]\ntransport = "tcp"',
            'config.toml:2: [ari] transport = "tcp": one of "auto", "websocket", "http" is expected',
        ),
        ('[log]\nlevel = "loud"', '"debug", "info", "warning", "error" is expected'),
        ("[log]\nformat = 1", 'config.toml:2: [log] format = 1: one of "text", "json" is expected'),
        ('[node]\nhttp = "8089"', 'config.toml:2: [node] http = "8089": an address and port like'),
        ('[node]\nhttp = "127.0.0.1:65536"', "an address and port like"),
        ('[node]\nname = "node 1"', "without spaces is expected"),
        ('[ari]\nurl = "ws://127.0.0.1:8088/ari"', 'a URL like "http://127.0.0.1:8088/ari"'),
        ('[ari]\nurl = "http://127.0.0.1:99999/ari"', 'a URL like "http://127.0.0.1:8088/ari"'),
        ('[push]\nurl = "push.example"', "config.toml:2: [push] url"),
        ('[crm]\nurl = "mysql://db/teledom"', '"sqlite:///FILE" or "postgresql://USER@HOST/NAME"'),
        ('[crm]\nurl = "sqlite:///:memory:"', '"sqlite:///FILE"'),
        ('[crm]\nurl = "sqlite:///"', '"sqlite:///FILE"'),
        (
            "[ari]\nreconnect_max_s = 0.1",
            "[ari] reconnect_min_s = 0.2: at most reconnect_max_s, which is 0.1, is expected",
        ),
        (
            "[ari]\nreconnect_min_s = 20\n",
            "config.toml:2: [ari] reconnect_min_s = 20: at most reconnect_max_s, which is 10, is expected",
        ),
        ("[call]\nring = 30", "config.toml:2: [call] ring: unknown setting: did you mean ring_s?"),
        ("[call]\nrings_s = 30", "config.toml:2: [call] rings_s: unknown setting: did you mean ring_s?"),
        ("[ari]\nring_s = 30", "config.toml:2: [ari] ring_s: unknown setting: it belongs under [call]"),
        (
            "[log]\nxyz = 30",
            "config.toml:2: [log] xyz: unknown setting: allowed are level, format",
        ),
        ("\n[pusch]\na = 1", "config.toml:2: [pusch]: unknown section: did you mean [push]?"),
        ("[quux]", "config.toml:1: [quux]: unknown section: there are [node], [ari], [call]"),
        (
            "ring_s = 5",
            "config.toml:1: ring_s: a setting outside of any section: it belongs under [call]",
        ),
        ("call = 5", "config.toml:1: call = 5: a section [call] with settings is expected"),
        ("[[call]]\nring_s = 5", "config.toml:1: call = "),
        (
            '[ari]\npassword = "hush"',
            "config.toml:2: [ari] password: no secret stands in this file: set TELEDOM_ARI_PASSWORD",
        ),
        ("[call]\nring_s = \n", "config.toml:2: not TOML at column "),
        ("[call]\nring_s = 1\nring_s = 2", "config.toml:3: not TOML"),
        ('[call]\nlanguage = "ru', "config.toml:2: not TOML"),
        ("call.ring_s = 0\n", "config.toml:1: [call] ring_s = 0: "),
        ("call = { talk_s = 9, ring_s = 0 }\n", "config.toml:1: [call] ring_s = 0: "),
        ('[ari]\n[call]\n# ring_s = 1\n"ring_s" = 0', "config.toml:4: [call] ring_s = 0: "),
        ("[ call ]\nring_s=0", "config.toml:2: [call] ring_s = 0: "),
    ],
)
def test_what_is_wrong_is_one_line_with_key_file_line_and_what_is_allowed(
    write: Write, text: str, line: str
) -> None:
    lines = wrong(write(text))
    assert len(lines) == 1
    assert line in lines[0]


def test_several_errors_are_a_line_each_in_the_order_of_the_file(write: Write) -> None:
    lines = wrong(write("[call]\ntalk_s = 0\n[ari]\nlanes = 0\n[call2]\n"))
    assert [line.split(":")[1] for line in lines] == ["2", "4", "5"]


@pytest.mark.parametrize(
    "text",
    [
        '[ari]\nurl = "https://me:hush@asterisk.example/ari"',
        '[crm]\nurl = "postgresql://me:hush@db.example/teledom"',
        '[push]\nurl = "https://me:hush@push.example/"',
        '[ari]\npassword = "hush"',
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_printed(write: Write, text: str) -> None:
    lines = wrong(write(text))
    assert len(lines) == 1
    assert "hush" not in lines[0]


def test_a_missing_secret_names_its_variable(write: Write) -> None:
    lines = wrong(write('[node]\n[ari]\nuser = "td"\n'), OTHER="1")
    assert len(lines) == 1
    assert re.match(r"config.toml:2: \[ari\] password is missing: set TELEDOM_ARI_PASSWORD", lines[0])


def test_a_file_that_is_not_there_is_named_with_what_to_do(tmp_path: Path) -> None:
    lines = wrong(tmp_path / "config.toml")
    assert lines == [
        "config.toml: cannot be read (No such file or directory): name another with --config or TELEDOM_CONFIG"
    ]


def test_a_file_that_is_no_text_is_named_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_bytes(b'[node]\nname = "\xff"\n')
    assert wrong(tmp_path / "config.toml") == ["config.toml:2: not UTF-8: text in UTF-8 is expected"]


KEYS = [
    (name, each.name)
    for name, section in sections()
    for each in attrs.fields(type(section))
    if isinstance(each.metadata.get("rule"), Range)
]


@given(key=st.sampled_from(KEYS), value=st.floats() | st.integers() | st.booleans())
def test_a_number_is_accepted_just_when_it_is_in_range(
    tmp_path_factory: pytest.TempPathFactory, key: tuple[str, str], value: float
) -> None:
    section, name = key
    field = getattr(attrs.fields(type(dict(sections())[section])), name)
    rule: Range = field.metadata["rule"]
    whole = field.type in (int, "int")
    right = not isinstance(value, bool) and (isinstance(value, int) or not whole)
    right = right and rule.low <= value <= rule.high
    if name.startswith("reconnect"):
        right = right and (value <= 10 if name == "reconnect_min_s" else value >= 0.2)
    if section == "billing" and name.startswith("retry"):
        right = right and (value <= 3600 if name == "retry_s" else value >= 30)
    if name in ("hold_s", "keep_s"):
        right = right and (value <= 10_800 if name == "hold_s" else value >= 1800)
    path = tmp_path_factory.getbasetemp() / "numbers.toml"
    path.write_text(f"[{section}]\n{name} = {str(value).lower()}\n")
    try:
        loaded = config.load(path, {})
    except ConfigError:
        assert not right
    else:
        assert right
        kind, _, one = section.partition(".")
        found = getattr(loaded, kind)
        assert getattr(found[one] if one else found, name) == value
