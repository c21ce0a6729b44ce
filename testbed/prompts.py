"""Makes the prompts that a panel plays when nobody comes, in Russian and English, with espeak-ng.

    python -m testbed.prompts

A prompt is A-law at 8 kHz, as panels speak it. Replace any of them by a recording of your own: the name says what for.
They stand in telephony/asterisk/sounds/, whose folders `ru` and `en` go into Asterisk's own `sounds`.
"""

from __future__ import annotations

import subprocess
import tempfile
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from testbed.debs import Tree, get_tree

SOUNDS = Path(__file__).parents[1] / "telephony/asterisk/sounds"
PROMPTS = {
    "unknown-panel": (
        "Домофон не подключён. Обратитесь в управляющую компанию.",
        "This panel is not in service.",
    ),
    "unknown-flat": (
        "Такой квартиры нет. Проверьте номер.",
        "There is no such flat. Please check the number.",
    ),
    "blocked": ("Вызов в эту квартиру временно недоступен.", "Calls to this flat are not available for now."),
    "no-accounts": ("К этой квартире не подключён ни один телефон.", "No phone is connected to this flat."),
    "nobody-answered": ("Никто не отвечает.", "Nobody is answering."),
    "declined": ("Вызов отклонён.", "The call was declined."),
    "ring-timeout": (
        "Время ожидания истекло. Никто не ответил.",
        "The time is over, and nobody has answered.",
    ),
    "sos-busy": (
        "Линия сто двенадцать занята. Не уходите, мы звоним ещё раз.",
        "The emergency line is busy. Please stay, we are calling again.",
    ),
    "sos-again": (
        "Соединиться не удалось. Не уходите, мы звоним ещё раз.",
        "The call did not get through. Please stay, we are calling again.",
    ),
    "sos-duty": (
        "Сто двенадцать не отвечает. Соединяем с дежурным.",
        "The emergency line does not answer. We are calling the duty desk.",
    ),
    "quality-hello": (
        "Здравствуйте! Это проверка вашей трубки домофона. Скажите, пожалуйста, несколько слов.",
        "Hello! This is a test of your intercom handset. Please say a few words.",
    ),
    "quality-again": (
        "Спасибо. Скажите, пожалуйста, ещё раз.",
        "Thank you. Please say something once more.",
    ),
    "quality-bye": (
        "Проверка окончена, спасибо. Повесьте трубку.",
        "The test is over, thank you. Please hang up.",
    ),
    "test-ring": (
        "Это проверочный вызов вашего домофона. Всё в порядке, спасибо.",
        "This is a test call of your intercom. All is well, thank you.",
    ),
    "out-of-order": ("Связь временно недоступна. Попробуйте позже.", "Out of order. Please try again later."),
}
RATE = 8000
PEAK = 0.6


def speak(tree: Tree, language: str, text: str) -> NDArray[np.float64]:
    """What espeak-ng says, at 8 kHz, between -1 and 1."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        data = tree.root / "usr/lib/x86_64-linux-gnu"
        command = [*tree.command("usr/bin/espeak-ng"), "--path", str(data), "-v", language, "-s", "140"]
        subprocess.run([*command, "-w", str(path), text], check=True)
        with wave.open(str(path), "rb") as file:
            rate = file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float64)
    spectrum = np.fft.rfft(samples)
    count = int(samples.size * RATE / rate)
    resampled = np.fft.irfft(spectrum[: count // 2 + 1], n=count)
    resampled *= PEAK / np.abs(resampled).max()
    quiet = np.zeros(RATE // 5)
    return np.concatenate([quiet, resampled, quiet])


def a_law(samples: NDArray[np.float64]) -> bytes:
    """G.711 A-law, even bits inverted. Source: ITU-T G.711, table 1a."""
    value = np.clip(np.abs(samples) * 4096, 0, 4095).astype(int)
    exponent = np.maximum(np.floor(np.log2(np.maximum(value, 1))).astype(int) - 4, 0)
    mantissa = np.where(exponent <= 1, value >> 1, value >> np.maximum(exponent, 1)) & 0x0F
    segment = np.where(value >= 32, exponent, 0)
    code = (segment << 4) | mantissa
    code = np.where(samples >= 0, code | 0x80, code)
    return bytes((code ^ 0x55).astype(np.uint8))


def main() -> None:
    tree = get_tree()
    for name, texts in PROMPTS.items():
        for language, text in zip(("ru", "en"), texts, strict=True):
            folder = SOUNDS / language / "teledom"
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.alaw").write_bytes(a_law(speak(tree, language, text)))


if __name__ == "__main__":
    main()
