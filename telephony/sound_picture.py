"""A recorded call as a picture: what we played and what came back, for whoever wants to see why a verdict is as it is.

`draw` makes a PNG and an SVG of the same figure. It keeps nothing between calls, but matplotlib's settings are the
process's: draw one picture at a time in a process. Level and frequency are those of the file, nothing is evened out:
0 dBFS is a sine of full scale in the spectrogram, and a sample at the rail in the waveform.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from attrs import frozen
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from telephony.picture_words import Words, words_of
from telephony.recording import SoundError

RATE = 8000  # Hz, of every file here
RAIL = 32768  # a sample's highest value: 0 dBFS
LONGEST_S = 3600

DPI = 200
FONT_PT, TITLE_PT = 9.5, 11.0  # 26 px of 1200: still 9 of a phone's 390
FONTS = "DejaVuSans.ttf", "DejaVuSans-Bold.ttf"  # come with matplotlib, and have Cyrillic
WIDTH_IN, LEFT_IN, RIGHT_IN, MARGIN_IN = 6.0, 0.72, 0.28, 0.12
WIDE_IN = WIDTH_IN - LEFT_IN - RIGHT_IN  # of every axis of time
TITLE_IN, ROW_IN, HEAD_IN, WAVE_IN, GAP_IN, SPECTRUM_IN = 0.3, 0.22, 0.32, 1.1, 0.05, 1.4
SCALE_GAP_IN, FOOT_IN = 0.38, 0.78
ROWS = 3  # of marks' texts

FLOOR_DBFS = -70.0  # where a waveform's middle is: below it lies only what A-law makes of silence
DARK_DBFS, BRIGHT_DBFS = -90.0, -20.0
COLUMNS = 900  # about as many as an axis has pixels
WINDOW, HOP = 256, 128  # samples: 32 ms, which shows mains hum and syllables alike

# Okabe and Ito's colours and magma: told apart by all kinds of colour vision, and in grey.
PLAYED, CAME_BACK = ("#0072B2", "#8FC4E3"), ("#B34700", "#EDB58A")  # RMS, peak
BAND, EDGE, INK, FAINT = "#F2E3A6", "#C79A00", "#222222", "#C8C8C8"
COLOURS = matplotlib.colormaps["magma"].resampled(64)  # steps of 1 dB: a small file, and none to be seen

Samples = NDArray[np.int16]
Levels = NDArray[np.float64]
Mark = tuple[float, float, str]
"""Begin and end in seconds, and what to call it."""


class PictureError(SoundError):
    """No picture can be made; the message names the file, and says what to do."""


@frozen
class _Label:
    """A mark, and where its text begins: at the mark, or before it where the picture ends too soon."""

    begin_s: float
    end_s: float
    text_s: float
    text: str


def draw(
    handset: Path, sent: Path, into: Path, title: str, marks: Sequence[Mark], language: str = "en"
) -> tuple[Path, Path]:
    """Draw both directions over one axis of time; gives the paths of the PNG (1200 px wide) and of the SVG (< 1 MB).

    `handset` is what came from the panel, `sent` what we played: WAV, 8 kHz, mono, 16 bit, beginning together. `into`
    is the pictures' path without .png and .svg, in a folder that exists. `marks` are our prompts: begin and end in
    seconds, and their names or what to call them. What is there of a file that was cut off is drawn. `language`: "ru".

    Raises PictureError: a file is missing, is no such WAV or over an hour long, or a picture can't be written. What
    stood there before then stays, and no half of a file is left.
    """
    played, came_back = _read(sent), _read(handset)
    settings = matplotlib.rc_context(
        {
            "font.family": ["DejaVu Sans"],
            "font.size": FONT_PT,
            "text.color": INK,
            "text.parse_math": False,  # titles are strangers' text: a "$" is a dollar
            "svg.fonttype": "path",  # the same letters wherever it is shown
            "svg.hashsalt": "teledom",  # the same sound gives the same file
        }
    )
    with settings:
        figure = _figure(played, came_back, title, marks, words_of(language))
        png, svg = BytesIO(), BytesIO()
        figure.savefig(png, format="png", dpi=DPI, metadata={"Software": None})
        figure.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
    # Not with_suffix(): Asterisk's names have a dot that belongs to them.
    paths = into.with_name(f"{into.name}.png"), into.with_name(f"{into.name}.svg")
    _write({paths[0]: png.getvalue(), paths[1]: svg.getvalue()})
    return paths


def _read(path: Path) -> Samples:
    """The sound in a WAV file. The sizes in a header of a recorder that was killed are not believed."""
    try:
        if path.stat().st_size > LONGEST_S * RATE * 2 + 4096:
            raise PictureError(f"cannot draw {path}: it is longer than {LONGEST_S} s; draw a part of it")
        content = path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path} to draw it: {error.strerror or error}") from error
    if not content:
        raise PictureError(f"cannot draw {path}: it is empty; nothing was recorded, see Asterisk's log")
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise PictureError(f"cannot draw {path}: it is no WAV file, or its beginning is damaged")
    at, is_ours = 12, False
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        at += 8
        if name == b"data":
            if not is_ours:
                break
            end = min(at + size, len(content)) if size else len(content)
            return np.frombuffer(content[at : end - (end - at) % 2], "<i2").astype(np.int16)
        if name == b"fmt " and at + 16 <= len(content):
            coding, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", content, at)
            if (coding, channels, rate, bits) != (1, 1, RATE, 16):
                raise PictureError(
                    f"cannot draw {path}: it has {channels} channels of {bits} bits at {rate} Hz, coding {coding}; "
                    f"only linear 16 bit mono at {RATE} Hz can be drawn"
                )
            is_ours = True
        at += size + size % 2
    raise PictureError(f"cannot draw {path}: its WAV header is damaged or cut off before the sound")


def _write(files: Mapping[Path, bytes]) -> None:
    """Each whole or not at all, and none before all are on the disk. Raises PictureError."""
    parts = {path: path.with_name(f".{path.name}.part") for path in files}
    try:
        try:
            for path, content in files.items():
                parts[path].write_bytes(content)
            for path, part in parts.items():
                part.replace(path)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
    except OSError as error:
        raise PictureError(
            f"cannot write the picture {path}: {error.strerror or error}; the folder must be there, "
            "writable, and have room"
        ) from error


def _figure(played: Samples, came_back: Samples, title: str, marks: Sequence[Mark], words: Words) -> Figure:
    figure = Figure(figsize=(WIDTH_IN, 1), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)  # it measures texts
    length_s = max(len(played), len(came_back)) / RATE or 1.0
    marks = [
        (max(0.0, a), min(b, length_s), words.prompts.get(text, text))
        for a, b, text in sorted(marks)
        if a < length_s and b > 0
    ]
    rows = _rows(figure, marks, length_s)
    title = _fit(figure, _plain(title), WIDTH_IN - 2 * MARGIN_IN, TITLE_PT)
    title_in, strip_in = TITLE_IN if title else 0.0, ROW_IN * len(rows)
    sounds_in = 2 * (HEAD_IN + WAVE_IN + GAP_IN + SPECTRUM_IN)
    high_in = MARGIN_IN + title_in + strip_in + sounds_in + FOOT_IN
    figure.set_size_inches(WIDTH_IN, high_in)
    y_in = MARGIN_IN  # how far down it is filled

    def axes(tall_in: float, left_in: float = LEFT_IN) -> Axes:
        nonlocal y_in
        y_in += tall_in
        wide = 1 - (left_in + RIGHT_IN) / WIDTH_IN
        made = figure.add_axes((left_in / WIDTH_IN, 1 - y_in / high_in, wide, tall_in / high_in))
        made.spines[:].set_visible(False)
        made.tick_params(color=FAINT, labelcolor=INK, length=3)
        return made

    if title:
        at = MARGIN_IN / WIDTH_IN, 1 - MARGIN_IN / high_in
        figure.text(*at, title, size=TITLE_PT, weight="bold", va="top")
        y_in += title_in
    if rows:
        _draw_marks(axes(strip_in), rows, length_s)
    for sound, head, colours in (
        (played, words.played, PLAYED),
        (came_back, words.came_back, CAME_BACK),
    ):
        y_in += HEAD_IN
        wave = axes(WAVE_IN)
        wave.set_title(head, loc="left", size=FONT_PT, weight="bold", color=colours[0], pad=5)
        wave.set_title(_said(sound, words), loc="right", size=FONT_PT, pad=5)
        _draw_wave(wave, sound, colours)
        y_in += GAP_IN
        spectrum = axes(SPECTRUM_IN)
        _draw_spectrum(spectrum, sound, words)
        for begin, end, _ in marks:
            wave.axvspan(begin, end, color=BAND, linewidth=0, zorder=0)
            for at_s in (begin, end):
                spectrum.axvline(at_s, color="white", linewidth=0.9, linestyle=(0, (3, 2)))
        for each in (wave, spectrum):
            each.set_xlim(0, length_s)
            each.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))
            each.xaxis.set_major_formatter(lambda x, _: f"{words.number(f'{x:g}')} {words.seconds}")
            if each is wave or sound is played:
                each.tick_params(bottom=False, labelbottom=False)
    y_in += SCALE_GAP_IN
    _draw_scale(axes(0.1, LEFT_IN + WIDE_IN * 0.55))
    return figure


def _said(sound: Samples, words: Words) -> str:
    """What a file's picture alone does not say for sure."""
    if not len(sound):
        return words.no_sound
    length = words.number(f"{len(sound) / RATE:.1f}")
    highest = int(np.abs(sound.astype(np.int32)).max())
    if not highest:
        return words.silence.format(length=length)
    return words.peak.format(length=length, peak=words.number(f"{round(20 * math.log10(highest / RAIL))}"))


def _draw_wave(axes: Axes, sound: Samples, colours: tuple[str, str]) -> None:
    """Peaks up and down, and in them the RMS, on a scale of dBFS that has `FLOOR_DBFS` in its middle."""
    span = -FLOOR_DBFS
    axes.set_ylim(-span, span)
    axes.set_yticks([span, span - 20, span - 40, 0], ["0 dBFS", "−20", "−40", "≤ −70"])
    for y in (span - 20, span - 40, 40 - span, 20 - span):
        axes.axhline(y, color=FAINT, linewidth=0.5, zorder=1)
    if not len(sound):
        return
    count = min(COLUMNS, max(1, len(sound) // 16))
    edges = np.linspace(0, len(sound), count + 1).astype(int)
    powers = np.add.reduceat(sound.astype(np.float64) ** 2, edges[:-1]) / np.diff(edges)
    up = _height(np.maximum.reduceat(sound, edges[:-1]).clip(min=0))
    down = _height(-np.minimum.reduceat(sound, edges[:-1]).astype(np.float64).clip(max=0))
    rms = _height(np.sqrt(powers))
    for high, low, colour in (
        (up, down, colours[1]),
        (np.minimum(rms, up), np.minimum(rms, down), colours[0]),
    ):
        axes.stairs(high, edges / RATE, baseline=-low, fill=True, color=colour, zorder=2)
    axes.plot([0, len(sound) / RATE], [0, 0], color=colours[0], linewidth=0.6, zorder=3)


def _height(amplitudes: Levels | Samples) -> Levels:
    """dB over the floor."""
    return np.maximum(_dbfs(amplitudes / RAIL) - FLOOR_DBFS, 0.0)


def _dbfs(parts: Levels) -> Levels:
    return 20 * np.log10(np.maximum(parts, 1e-9))


def _draw_spectrum(axes: Axes, sound: Samples, words: Words) -> None:
    axes.set_facecolor("#EEEEEE")  # where there is no sound is something else than silence
    axes.set_ylim(0, RATE / 2000)
    axes.set_yticks(range(5), ["0", "1", "2", "3", f"4 {words.kilohertz}"])
    if len(sound):
        _draw_levels(axes, _spectrogram(sound), (0, len(sound) / RATE, 0, RATE / 2000))


def _draw_scale(axes: Axes) -> None:
    """What a colour of the spectrograms means."""
    steps = np.linspace(DARK_DBFS, BRIGHT_DBFS, COLOURS.N)
    _draw_levels(axes, steps[np.newaxis], (DARK_DBFS, BRIGHT_DBFS, 0, 1))
    axes.set_yticks([])
    axes.set_xticks([-90, -70, -50, -30], ["−90 dBFS", "−70", "−50", "−30"])


def _draw_levels(axes: Axes, levels: Levels, extent: tuple[float, float, float, float]) -> None:
    axes.imshow(
        levels,
        cmap=COLOURS,
        norm=Normalize(DARK_DBFS, BRIGHT_DBFS),
        origin="lower",
        aspect="auto",
        interpolation="none",  # so the SVG has the image itself, as PNG
        extent=extent,
    )


def _spectrogram(samples: Samples) -> Levels:
    """dBFS by frequency and time, at most `COLUMNS` wide: a column has the highest level of what it stands for."""
    hop = min(HOP, max(8, len(samples) // COLUMNS))
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, WINDOW // 2), WINDOW)[:-1:hop]
    hann = np.hanning(WINDOW + 1)[:-1]
    each = math.ceil(len(frames) / COLUMNS)
    parts = [frames[at : at + each] * hann for at in range(0, len(frames), each)]
    columns = [np.abs(np.fft.rfft(part, axis=1)).max(axis=0) for part in parts]
    return _dbfs(np.array(columns).T * 2 / hann.sum() / RAIL)


def _rows(figure: Figure, marks: Sequence[Mark], length_s: float) -> list[list[_Label]]:
    """Marks with their texts, in as few rows as they fit in; what does not fit in `ROWS` has no text."""
    rows: list[list[_Label]] = []
    ends: list[float] = []  # inches, where each row is free again
    for begin, end, text in marks:
        text = _fit(figure, _plain(text), WIDE_IN, FONT_PT)
        wide_in = _wide(figure, text, FONT_PT)
        at_in = min(begin / length_s * WIDE_IN, WIDE_IN - wide_in)
        row = next((n for n, free in enumerate(ends) if free <= at_in), len(ends))
        if row == ROWS:
            continue
        if row == len(ends):
            rows.append([])
            ends.append(0.0)
        rows[row].append(_Label(begin, end, at_in / WIDE_IN * length_s, text))
        ends[row] = max(at_in + wide_in + 0.1, end / length_s * WIDE_IN)
    return rows


def _draw_marks(axes: Axes, rows: Sequence[Sequence[_Label]], length_s: float) -> None:
    axes.set_axis_off()
    axes.set_xlim(0, length_s)
    axes.set_ylim(len(rows), 0)
    for y, row in enumerate(rows):
        for label in row:
            axes.hlines(y + 0.92, label.begin_s, label.end_s, color=EDGE, linewidth=2)
            axes.text(label.text_s, y + 0.78, label.text)


def _plain(text: str) -> str:
    """One line of what both fonts can show; "?" for what they can't."""
    folder = Path(matplotlib.get_data_path(), "fonts/ttf")
    known = set.intersection(*(set(get_font(folder / name).get_charmap()) for name in FONTS))
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return "".join(c if ord(c) in known else "?" for c in line)


def _fit(figure: Figure, text: str, room_in: float, size_pt: float) -> str:
    """As much of the text as there is room for."""
    kept, count = text, min(len(text), 200)
    while _wide(figure, kept, size_pt) > room_in:
        count -= 1
        kept = f"{text[:count].rstrip()}…"
    return kept


def _wide(figure: Figure, text: str, size_pt: float) -> float:
    """Inches; of bold letters, which are the widest."""
    return Text(0, 0, text, figure=figure, size=size_pt, weight="bold").get_window_extent(dpi=DPI).width / DPI
