"""Pictures of recorded calls: what stands in them, whatever the sound and the title are, and that no half is left."""

from __future__ import annotations

import errno
import html
import re
import struct
import time
import wave
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from telephony.sound_picture import RATE, Mark, PictureError, draw

SVG = "{http://www.w3.org/2000/svg}"
Sound = NDArray[np.float64]


def tone(seconds: float, hertz: float = 1000, level_dbfs: float = -6) -> Sound:
    at = np.arange(round(seconds * RATE)) / RATE
    return np.asarray(10 ** (level_dbfs / 20) * np.sin(2 * np.pi * hertz * at))


def noise(seconds: float, level_dbfs: float = -20) -> Sound:
    return np.random.default_rng(1).normal(0, 10 ** (level_dbfs / 20), round(seconds * RATE))


def saved(path: Path, sound: Sound, rate: int = RATE, channels: int = 1) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((sound.clip(-1, 1) * 32767).astype("<i2").tobytes())
    return path


def drawn(
    folder: Path,
    sent: Sound,
    handset: Sound,
    title: str = "flat 7",
    marks: Sequence[Mark] = (),
    language: str = "en",
) -> tuple[Path, Path]:
    came, heard = saved(folder / "in.wav", handset), saved(folder / "out.wav", sent)
    return draw(came, heard, folder / "made", title, marks, language)


def pixels(png: Path) -> NDArray[np.uint8]:
    with Image.open(png) as image:
        return np.asarray(image.convert("RGB"))


def spectrums(png: Path) -> list[NDArray[np.uint8]]:
    """What is inside of the two spectrograms; between the axis of frequency and the right edge no row is white."""
    inner = pixels(png)[:, 150:1140]
    full = (inner != 255).any(axis=2).all(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(int)))
    runs = [(begin, end) for begin, end in edges.reshape(-1, 2) if end - begin > 250]
    return [inner[begin:end] for begin, end in runs]


def texts(svg: Path) -> list[str]:
    """The texts of an SVG: matplotlib leaves each beside its outlines, as a comment."""
    return [html.unescape(text.strip()) for text in re.findall(r"<!--(.*?)-->", svg.read_text(), re.DOTALL)]


def test_both_pictures_are_made_and_the_png_is_1200_wide(tmp_path: Path) -> None:
    png, svg = drawn(tmp_path, tone(2), noise(2))

    assert (png, svg) == (tmp_path / "made.png", tmp_path / "made.svg")
    assert pixels(png).shape[1] == 1200
    assert ET.parse(svg).getroot().tag == f"{SVG}svg"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in.wav", "made.png", "made.svg", "out.wav"]


def test_a_tone_is_a_line_at_its_frequency_in_the_direction_that_had_it(tmp_path: Path) -> None:
    png, _ = drawn(tmp_path, tone(2, hertz=1000), tone(2, hertz=3000))

    above = [1 - float(np.argmax(each.sum(axis=2).mean(axis=1))) / len(each) for each in spectrums(png)]
    assert above == pytest.approx([0.25, 0.75], abs=0.02)


def test_the_levels_are_said_in_dbfs(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, tone(1, level_dbfs=-12), tone(2, level_dbfs=0))

    assert {"1.0 s, peak −12 dBFS", "2.0 s, peak 0 dBFS", "4 kHz", "2 s"} <= set(texts(svg))


def test_a_prompt_is_a_band_over_its_seconds_with_its_name(tmp_path: Path) -> None:
    png, svg = drawn(
        tmp_path, tone(10, level_dbfs=-60), noise(10, -60), marks=[(2.0, 4.0, "Скажите что-нибудь")]
    )

    assert "Скажите что-нибудь" in texts(svg)
    band = (pixels(png) == (0xF2, 0xE3, 0xA6)).all(axis=2)
    columns = np.flatnonzero(band.any(axis=0))
    left, wide = 0.72 * 200, 5.0 * 200
    assert ((columns.min() - left) / wide, (columns.max() - left) / wide) == pytest.approx(
        (0.2, 0.4), abs=0.01
    )


def test_prompts_close_together_keep_their_names_apart(tmp_path: Path) -> None:
    names = ["the first prompt", "the second prompt", "the third prompt"]
    _, svg = drawn(tmp_path, tone(60), noise(60), marks=[(n, n + 0.5, names[n]) for n in range(3)])

    assert set(names) <= set(texts(svg))


def test_a_prompt_at_the_end_and_one_beyond_it_make_a_picture(tmp_path: Path) -> None:
    _, svg = drawn(
        tmp_path, tone(3), noise(3), marks=[(2.9, 9.0, "a long name at the end"), (5, 6, "never played")]
    )

    assert "a long name at the end" in texts(svg)
    assert "never played" not in texts(svg)


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        (r"кв. 7 $\frac{1}{0}$ costs $5", r"кв. 7 $\frac{1}{0}$ costs $5"),
        (r"\$ {unclosed $ ^_", r"\$ {unclosed $ ^_"),
        ("one\nline\t\x00\x1b[2J only", "one line [2J only"),
        ("no letters for 漢字", "no letters for ??"),
        ("no bold one for \N{MATHEMATICAL SANS-SERIF CAPITAL A}", "no bold one for ?"),
        ("<script>&amp;", "<script>&amp;"),
    ],
)
def test_a_title_is_text_and_nothing_else(tmp_path: Path, title: str, shown: str) -> None:
    _, svg = drawn(tmp_path, tone(0.5), noise(0.5), title=title, marks=[(0, 0.2, title)])

    assert shown in texts(svg)
    assert ET.parse(svg).getroot().find(f".//{SVG}script") is None


def test_a_title_that_closes_a_comment_leaves_the_svg_well_formed(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, tone(0.5), noise(0.5), title="--><script>alert(1)</script><!--")

    assert ET.parse(svg).getroot().find(f".//{SVG}script") is None


def test_a_title_wider_than_the_picture_is_cut(tmp_path: Path) -> None:
    png, svg = drawn(tmp_path, tone(0.5), noise(0.5), title="улица " * 500)

    assert any(text.startswith("улица улица") and text.endswith("…") for text in texts(svg))
    assert (pixels(png)[:60, 1185:] == 255).all()


@pytest.mark.parametrize("seconds", [0.0, 1 / RATE, 0.1, 3.0])
def test_short_and_empty_sounds_make_a_picture(tmp_path: Path, seconds: float) -> None:
    _, svg = drawn(tmp_path, tone(seconds), noise(0))

    assert "no sound in the file" in texts(svg)


def test_digital_silence_is_told_from_a_quiet_line(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, tone(1), np.zeros(RATE))

    assert "1.0 s of digital silence" in texts(svg)


def test_the_shorter_direction_ends_where_it_ends(tmp_path: Path) -> None:
    png, _ = drawn(tmp_path, tone(4), noise(2))

    came_back = spectrums(png)[1]
    assert (came_back[10:-10, 600:980] == 0xEE).all()
    assert not (came_back[10:-10, :450] == 0xEE).all(axis=2).any()


def test_ten_minutes_of_noise_stay_below_a_megabyte_of_svg(tmp_path: Path) -> None:
    _, svg = drawn(tmp_path, noise(600), noise(600))

    assert svg.stat().st_size < 1_000_000
    assert len(list(ET.parse(svg).iter(f"{SVG}image"))) == 3  # two spectrograms and the scale


def test_the_same_sound_gives_the_same_files(tmp_path: Path) -> None:
    first = [path.read_bytes() for path in drawn(tmp_path, tone(1), noise(1))]

    assert [path.read_bytes() for path in drawn(tmp_path, tone(1), noise(1))] == first


def test_matplotlibs_settings_are_left_as_they_were(tmp_path: Path) -> None:
    before = dict(matplotlib.rcParams)
    drawn(tmp_path, tone(0.5), noise(0.5))

    assert dict(matplotlib.rcParams) == before


def test_a_recording_whose_header_was_never_finished_is_drawn(tmp_path: Path) -> None:
    """As a recorder leaves it that was killed: sizes of 0, and half a sample at the end."""
    sent, handset = saved(tmp_path / "out.wav", tone(1)), saved(tmp_path / "in.wav", tone(2))
    content = bytearray(handset.read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    handset.write_bytes(content + b"\x01")

    _, svg = draw(handset, sent, tmp_path / "made", "", [])

    assert "2.0 s, peak −6 dBFS" in texts(svg)


def test_chunks_beside_the_sound_are_passed_over(tmp_path: Path) -> None:
    sent, handset = saved(tmp_path / "out.wav", tone(1)), saved(tmp_path / "in.wav", tone(2))
    content = handset.read_bytes()
    extra = b"LIST" + struct.pack("<I", 3) + b"abc\0"
    handset.write_bytes(content[:36] + extra + content[36:] + extra)

    _, svg = draw(handset, sent, tmp_path / "made", "", [])

    assert "2.0 s, peak −6 dBFS" in texts(svg)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"RIFF", "no WAV"),
        (b"OggS" + bytes(100), "no WAV"),
        (b"RIFF\0\0\0\0WAVE", "damaged or cut off"),
        (b"RIFF\0\0\0\0WAVEdata" + bytes(50), "damaged or cut off"),
        (b"RIFF\0\0\0\0WAVEfmt \xff\xff\xff\xff\x01", "damaged or cut off"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, why: str) -> None:
    sent, handset = saved(tmp_path / "out.wav", tone(1)), tmp_path / "1732.17-in.wav"
    handset.write_bytes(content)

    with pytest.raises(PictureError, match=rf"1732\.17-in\.wav.*{why}"):
        draw(handset, sent, tmp_path / "made", "", [])
    assert not (tmp_path / "made.png").exists()


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (RATE, 2)])
def test_sound_of_another_kind_is_refused_with_what_it_is(tmp_path: Path, rate: int, channels: int) -> None:
    handset, sent = saved(tmp_path / "in.wav", tone(1)), saved(tmp_path / "out.wav", tone(1), rate, channels)

    with pytest.raises(PictureError, match=rf"out\.wav: it has {channels} channels of 16 bits at {rate} Hz"):
        draw(handset, sent, tmp_path / "made", "", [])


def test_a_missing_file_and_one_over_an_hour_are_named(tmp_path: Path) -> None:
    sent = saved(tmp_path / "out.wav", tone(1))
    with pytest.raises(PictureError, match=r"gone\.wav"):
        draw(tmp_path / "gone.wav", sent, tmp_path / "made", "", [])
    with (tmp_path / "endless.wav").open("wb") as file:
        file.truncate(3601 * RATE * 2)
    with pytest.raises(PictureError, match=r"endless\.wav.*longer than 3600 s"):
        draw(tmp_path / "endless.wav", sent, tmp_path / "made", "", [])


def test_a_stem_with_dots_keeps_them(tmp_path: Path) -> None:
    sound = saved(tmp_path / "a.wav", tone(0.2))
    png, svg = draw(sound, sound, tmp_path / "1732550000.17", "", [])

    assert (png.name, svg.name) == ("1732550000.17.png", "1732550000.17.svg")


def test_a_picture_that_cannot_be_written_is_named_and_leaves_no_half(tmp_path: Path) -> None:
    sound = saved(tmp_path / "a.wav", tone(0.2))
    with pytest.raises(PictureError, match=r"nowhere/made\.png"):
        draw(sound, sound, tmp_path / "nowhere" / "made", "", [])
    (tmp_path / "made.svg").mkdir()

    with pytest.raises(PictureError, match=r"made\.svg"):
        draw(sound, sound, tmp_path / "made", "", [])

    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.wav", "made.png", "made.svg"]


def test_a_full_disk_leaves_the_pictures_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = drawn(tmp_path, tone(0.2), tone(0.2))
    before = [path.read_bytes() for path in paths]
    write = Path.write_bytes

    def write_until_full(path: Path, content: bytes) -> int:
        if ".svg" in path.name:
            write(path, content[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", write_until_full)
    with pytest.raises(PictureError, match=r"made\.svg: No space left"):
        drawn(tmp_path, tone(1), tone(1))

    assert [path.read_bytes() for path in paths] == before
    assert not list(tmp_path.glob(".*"))


def test_a_call_of_40_seconds_is_drawn_in_seconds(tmp_path: Path) -> None:
    began = time.perf_counter()
    drawn(tmp_path, tone(40), noise(40), marks=[(3, 6, "one"), (20, 28, "two")])
    took = time.perf_counter() - began

    print(f"a call of 40 s: drawn in {took:.2f} s")
    assert took < 10
