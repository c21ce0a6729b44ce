"""The ways in which installers and readers write a key, and what each text can mean.

A key's UID is kept as hex, capitals, in the order in which the key sends it. A reader may turn the bytes round, write
them as a number, or tell only the last of them: of an EM-Marin key's five bytes Wiegand-34 has four and Wiegand-26 three,
which are also what is printed on it. So most texts can be read in several ways; `ways` gives them all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum

from attrs import frozen

LEAST_BYTES, MOST_BYTES = 3, 10
TAIL = 6  # hex digits that every way of writing an EM-Marin key has
DIGITS = {3: 8, 4: 10, 5: 13, 7: 17}  # of a number of so many bytes, with its leading zeros
PADDED = 14  # hex digits of panels that write every key as seven bytes


class KeyFormat(Enum):
    """A way of writing a key."""

    HEX = "hex"  # as the key sends it: 04A1B2C3, 04:A1:B2:C3, 0x04a1b2c3
    HEX_REVERSED = "hex_reversed"  # its bytes the other way round: C3B2A104
    HEX_PADDED = "hex_padded"  # with zeros before it, seven bytes in all: 00000004A1B2C3
    DECIMAL = "decimal"  # as a number: 0077705923
    DECIMAL_REVERSED = "decimal_reversed"  # the number of its bytes the other way round
    WIEGAND_26 = "wiegand_26"  # the last three bytes, as series and number: 188,24910
    WIEGAND_34 = "wiegand_34"  # the last four, as two numbers: 00188,24910
    EM_PRINTED = "em_printed"  # what stands on EM-Marin keys, both: 0012345678 188,24910
    DALLAS = (
        "dallas"  # Touch Memory: family, serial number from its high byte on, check sum: 02-00000001B81C-A2
    )


class Sure(Enum):
    """How sure it is that a text means this; the higher the surer."""

    CERTAIN = 3  # the text has something that checks it
    LIKELY = 2
    POSSIBLE = 1


@frozen
class Reading:
    """What a text can mean. `part`: it tells only the last bytes of what may be a longer UID."""

    uid: str
    format: KeyFormat
    sure: Sure
    part: bool = False


def ways(text: str) -> tuple[Reading, ...]:
    """All that a text can mean, the surest first; () for what is no key. Each UID once for each format."""
    bare = _bare(text)
    found: dict[tuple[str, KeyFormat], Reading] = {}
    for read in (_printed, _pair, _dallas, _number, _hex):
        for reading in read(bare):
            found.setdefault((reading.uid, reading.format), reading)
    return tuple(sorted(found.values(), key=lambda reading: -reading.sure.value))


def canonical(text: str, format: KeyFormat) -> str:
    """The UID that a text means in this format. Raises ValueError: it is not written so."""
    for reading in ways(text):
        if reading.format is format:
            return reading.uid
    raise ValueError(f"{text.strip()[:40]!r} is no key written as {format.value}")


def written(uid: str) -> Mapping[KeyFormat, str]:
    """How a UID (hex, capitals) looks in each format that it has. Raises ValueError: it is no UID."""
    data = _bytes(uid)
    texts: dict[KeyFormat, str] = {KeyFormat.HEX: uid, KeyFormat.HEX_REVERSED: reverse(uid)}
    if len(data) in (3, 4, 5):
        texts[KeyFormat.HEX_PADDED] = uid.rjust(PADDED, "0")
    if digits := DIGITS.get(len(data)):
        texts[KeyFormat.DECIMAL] = f"{int.from_bytes(data):0{digits}}"
        texts[KeyFormat.DECIMAL_REVERSED] = f"{int.from_bytes(data, 'little'):0{digits}}"
    if len(data) in (3, 4, 5):
        texts[KeyFormat.WIEGAND_26] = f"{data[-3]},{int.from_bytes(data[-2:]):05}"
    if len(data) in (4, 5):
        low = data[-4:]
        texts[KeyFormat.WIEGAND_34] = f"{int.from_bytes(low[:2]):05},{int.from_bytes(low[2:]):05}"
        texts[KeyFormat.EM_PRINTED] = f"{int.from_bytes(low):010} {texts[KeyFormat.WIEGAND_26]}"
    if is_dallas(data):
        texts[KeyFormat.DALLAS] = f"{data[0]:02X}-{data[6:0:-1].hex().upper()}-{data[7]:02X}"
    return texts


def reverse(uid: str) -> str:
    """A UID with its bytes the other way round."""
    return bytes.fromhex(uid)[::-1].hex().upper()


def tails(uid: str) -> frozenset[str]:
    """The last bytes by which a longer UID is found when only those are told, in either order of its bytes."""
    return frozenset({uid[-TAIL:], reverse(uid)[-TAIL:]}) if len(uid) in (8, 10) else frozenset()


def is_dallas(data: bytes) -> bool:
    """Whether eight bytes are a Touch Memory's: family, serial number, and the check sum of both (Maxim's CRC-8)."""
    if len(data) != 8 or not any(data):
        return False
    crc = 0
    for byte in data[:7]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x8C if crc & 1 else 0)
    return crc == data[7]


def _bare(text: str) -> str:
    return " ".join(text.strip().strip("\"'").upper().split())


def _bytes(uid: str) -> bytes:
    if not re.fullmatch(r"(?:[0-9A-F]{2}){3,10}", uid):
        raise ValueError(
            f"{uid[:40]!r} is no key's UID: {LEAST_BYTES} to {MOST_BYTES} bytes of hex are expected"
        )
    return bytes.fromhex(uid)


def _printed(text: str) -> Iterator[Reading]:
    """A number, and its last three bytes again: they check each other."""
    match = re.fullmatch(r"(\d{1,10})[ ,;]{1,3}\(?(\d{1,3})[,/.](\d{1,5})\)?", text)
    if match is None:
        return
    whole, series, number = (int(each) for each in match.groups())
    if whole < 1 << 32 and whole & 0xFFFFFF == series << 16 | number and number < 1 << 16:
        yield Reading(f"{whole:08X}", KeyFormat.EM_PRINTED, Sure.CERTAIN, part=True)


def _pair(text: str) -> Iterator[Reading]:
    """Two numbers: series and number of Wiegand-26, or the two halves of Wiegand-34."""
    match = re.fullmatch(r"(\d{1,5}) ?[,/] ?(\d{1,5})", text)
    if match is None:
        return
    high, low = int(match[1]), int(match[2])
    if high > 0xFFFF or low > 0xFFFF:
        return
    long = high > 0xFF or len(match[1]) > 3
    if high <= 0xFF:
        sure = Sure.POSSIBLE if long else Sure.LIKELY
        yield Reading(f"{high:02X}{low:04X}", KeyFormat.WIEGAND_26, sure, part=True)
    sure = Sure.LIKELY if long else Sure.POSSIBLE
    yield Reading(f"{high:04X}{low:04X}", KeyFormat.WIEGAND_34, sure, part=True)


def _dallas(text: str) -> Iterator[Reading]:
    bare = _joined(text)
    if bare is None or len(bare) != 16:
        return
    data = bytes.fromhex(bare)
    turned = data[:1] + data[6:0:-1] + data[7:]
    if is_dallas(turned):
        yield Reading(turned.hex().upper(), KeyFormat.DALLAS, Sure.CERTAIN)


def _number(text: str) -> Iterator[Reading]:
    """A number of three, four, five or seven bytes; with all its leading zeros it is likely to be of so many."""
    bare = text.replace(" ", "")
    if not re.fullmatch(r"[0-9]{5,17}", bare):
        return
    value = int(bare)
    for size, digits in sorted(DIGITS.items(), key=lambda each: each[1] != len(bare)):
        if value and value < 1 << 8 * size and len(bare) <= digits:
            uid = f"{value:0{2 * size}X}"
            exact = len(bare) == digits
            yield Reading(uid, KeyFormat.DECIMAL, Sure.LIKELY if exact else Sure.POSSIBLE)
            yield Reading(reverse(uid), KeyFormat.DECIMAL_REVERSED, Sure.POSSIBLE)


def _hex(text: str) -> Iterator[Reading]:
    """Bytes of hex, with whatever between them; digits alone may as well be a number."""
    bare = _joined(text)
    if bare is None:
        return
    plain = re.fullmatch(r"[0-9 ]+", text) is not None
    data = bytes.fromhex(bare)
    forward = Sure.POSSIBLE if plain else Sure.LIKELY
    for size in (4, 5, 3):
        if len(bare) == PADDED and not any(data[:-size]):
            usual = Sure.LIKELY if any(data[-size:][:1]) else Sure.POSSIBLE
            yield Reading(data[-size:].hex().upper(), KeyFormat.HEX_PADDED, usual)
    for each, format, sure in (
        (data, KeyFormat.HEX, forward),
        (data[::-1], KeyFormat.HEX_REVERSED, Sure.POSSIBLE),
    ):
        yield Reading(each.hex().upper(), format, Sure.CERTAIN if is_dallas(each) else sure)


def _joined(text: str) -> str | None:
    """The hex digits of a text in pairs; None: there are others, too few or too many."""
    text = text.removeprefix("0X")
    if not re.fullmatch(r"[0-9A-F]+(?:[ :.\-][0-9A-F]+)*", text):
        return None
    groups = re.split(r"[ :.\-]", text)
    short = len(groups) > 1 and all(len(group) <= 2 for group in groups)
    bare = "".join(group.rjust(2, "0") if short else group for group in groups)
    bare = bare.rjust(len(bare) + len(bare) % 2, "0")
    return bare if LEAST_BYTES <= len(bare) // 2 <= MOST_BYTES and bare.strip("0") else None
