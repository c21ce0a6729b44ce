"""What [handset.…] says: one section for all panels, and what a vendor's own section says otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import config
from config import Config, ConfigError, HandsetConfig

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "config.toml"
        path.write_text(text)
        return path

    return write


def test_an_empty_file_judges_every_vendors_handsets_by_the_defaults(write: Write) -> None:
    loaded = config.load(write(""), {})

    assert loaded.handset == {"default": HandsetConfig()} == Config().handset
    assert loaded.handset_of("beward") == HandsetConfig()


def test_a_vendors_section_has_from_the_default_section_what_it_leaves_out(write: Write) -> None:
    text = "[handset.default]\nweak_dbov = -42\nnoise_dbfs = -50\n[handset.sokol]\nnoise_dbfs = -40\n"

    loaded = config.load(write(text), {})

    sokol, other = loaded.handset_of("sokol"), loaded.handset_of("qtech")
    assert (sokol.weak_dbov, sokol.noise_dbfs) == (-42.0, -40.0)
    assert (other.weak_dbov, other.noise_dbfs) == (-42.0, -50.0)


def test_a_vendor_may_say_the_programs_own_default_against_the_default_section(write: Write) -> None:
    loaded = config.load(write("[handset.sokol]\nsnr_db = 15\n[handset.default]\nsnr_db = 20\n"), {})

    assert loaded.handset_of("sokol").snr_db == 15.0
    assert loaded.handset_of("").snr_db == 20.0


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "[handset.default]\nweak_dbov = 0",
            "config.toml:2: [handset.default] weak_dbov = 0: a number of dBov from -60 to -27 is expected",
        ),
        (
            "[handset.qtech]\n\nloss = 2",
            "config.toml:3: [handset.qtech] loss = 2: a number of parts of 1 from 0 to 1 is expected",
        ),
        (
            "[handset.sokol]\nhum = 1",
            "config.toml:2: [handset.sokol] hum: unknown setting: did you mean hum_db?",
        ),
        (
            "[handset.acme]\nhum_db = 1",
            "config.toml:1: [handset.acme]: one of beward, hikvision, qtech, sokol is expected behind the dot",
        ),
    ],
)
def test_what_is_wrong_is_said_once_with_its_line(
    write: Write, monkeypatch: pytest.MonkeyPatch, text: str, line: str
) -> None:
    monkeypatch.chdir(write(text).parent)

    with pytest.raises(ConfigError) as caught:
        config.load("config.toml", {})

    assert caught.value.lines == [line]
