"""What is typed into the search field, and the words by which things are indexed: plain functions of a text.

Both sides are folded alike: small letters, "ё" as "е", abbreviations of streets' kinds written out, a house's number as
one word ("5 корп. 2" and "5к2" are "5к2"). What the database is asked is crm.search.search's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from attrs import frozen

from crm.keys.formats import tails

WORD_LENGTH = 64  # characters of search_words.word
TAIL = "~"  # begins the words that are the end of something: a phone number backwards, a key's last bytes
PHONE_DIGITS = 4  # fewer are no phone number
_RUSSIAN_PHONE = 11  # digits with the country's 7, or the 8 that is dialled instead

_KEYS_EN = "`qwertyuiop[]asdfghjkl;'zxcvbnm,./?|"
_KEYS_RU = "ёйцукенгшщзхъфывапролджэячсмитьбю.,/"
_TO_RU, _TO_EN = str.maketrans(_KEYS_EN, _KEYS_RU), str.maketrans(_KEYS_RU, _KEYS_EN)
_ALIKE = str.maketrans("abcekmopx", "авсекморх")  # Latin letters in a house's number

_HYPHENED = {
    "пр-кт": "проспект",
    "пр-т": "проспект",
    "пр-д": "проезд",
    "пр-зд": "проезд",
    "б-р": "бульвар",
    "м-н": "микрорайон",
}
_KINDS = {
    "ул": "улица",
    "пр": "проспект",
    "просп": "проспект",
    "пер": "переулок",
    "бул": "бульвар",
    "ш": "шоссе",
    "пл": "площадь",
    "наб": "набережная",
    "туп": "тупик",
    "тр": "тракт",
    "ал": "аллея",
    "мкр": "микрорайон",
    "мкрн": "микрорайон",
}
_WRITTEN_OUT = {*_KINDS.values(), *_HYPHENED.values()}
_NO_PREFIX = {"мкр": "микрорайон", "мкрн": "микрорайон"}  # the other abbreviations are beginnings
_MARKS = frozenset({"г", "гор", "город", "д", "дом"})

_WORD = re.compile(r"[^\W_]+(?:/[^\W_]+)*")
_SHORT = re.compile("|".join(rf"(?<!\w){re.escape(short)}(?!\w)" for short in _HYPHENED))
_BLOCK = re.compile(r"(\d+[а-яa-z]?)[\s,]*(корпус|корп|к|строение|стр)\.?\s*(\d+)")
_LETTER = re.compile(r"(?<!\w)(\d+)\s+([а-жил-оabcek])(?![\w.])")
_FLAT = re.compile(r"(?<!\w)(?:квартира|кварт|кв|офис|оф)\.?\s*(\d+[а-я]?)?(?!\w)")
_ENTRANCE = re.compile(r"(?<!\w)(?:подъезд|под|п)\.?\s*\d+(?!\w)")
_NUMBER = re.compile(r"\d+[a-z]$")


@frozen
class Address:
    """A typed address: the words that name a house, and the flat in it ("" for none)."""

    words: tuple[str, ...]
    flat: str = ""

    @property
    def number(self) -> str:
        """The house's number: the last word that begins with a digit; "" where there is none."""
        return next((word for word in reversed(self.words) if word[0].isdigit()), "")


def fold(text: str) -> str:
    """In small letters, with "е" for "ё"."""
    return text.lower().replace("ё", "е")


def words_of(text: str) -> tuple[str, ...]:
    """The words of a name, folded."""
    return tuple(_WORD.findall(fold(text)))


def readings(text: str) -> tuple[Address, ...]:
    """What an address that was typed may mean, the likeliest first: with a flat, and as a house alone."""
    text = fold(text)
    flat = ""
    if found := _FLAT.search(text):
        flat = found[1] or ""
        text = text[: found.start()] + " " + text[found.end() :]
    text = _ENTRANCE.sub(" ", text)
    words = tuple(_NO_PREFIX.get(word, word) for word in _address_words(text) if word not in _MARKS)
    if not words:
        return ()
    if flat:
        return (Address(words, flat),)
    whole = Address(words)
    numbers = [word for word in words if word[0].isdigit()]
    if len(numbers) > 1 and words[-1] is numbers[-1] and not words[-1].startswith("0"):
        return Address(words[:-1], words[-1]), whole
    return (whole,)


def number_of(number: str) -> str:
    """A house's number as a word ("5, корп. 2" is "5к2")."""
    return " ".join(_address_words(fold(number)))


def street_words(street: str) -> list[str]:
    """A street's words, its kind written out ("ул. Ленина" is "улица", "ленина")."""
    return [_KINDS.get(word, word) for word in _address_words(fold(street))]


def street_name(street: str) -> list[str]:
    """A street's words without its kind ("ленина")."""
    return [word for word in street_words(street) if word not in _WRITTEN_OUT]


def is_kind(word: str) -> bool:
    """Whether a typed word is a street's kind or its beginning ("ул", "просп"): by itself it names no street."""
    return any(kind.startswith(word) for kind in _WRITTEN_OUT)


def house_words(street: str, number: str, city: str) -> list[str]:
    """The rows of the index by which a house is found."""
    return _turns([*street_words(street), *number_of(number).split(), *words_of(city)])


def resident_words(name: str, phone: str) -> list[str]:
    """The rows of the index by which a resident is found."""
    digits = "".join(c for c in phone if c.isdigit())
    return [*_turns(words_of(name)), *([TAIL + digits[::-1]] if len(digits) >= PHONE_DIGITS else ())]


def company_words(name: str, inn: str) -> list[str]:
    """The rows of the index by which a company is found."""
    return [*_turns(words_of(name)), *([fold(inn)] if inn else ())]


def key_words(uid: str) -> list[str]:
    """The rows of the index by which a key is found when only its last bytes are told, in either order."""
    return [TAIL + tail for tail in sorted(tails(uid))]


def _turns(words: Sequence[str]) -> list[str]:
    """For each word all words, beginning with it ("иванов петр", "петр иванов"): one row is enough to find several
    words together. Those that begin with a digit begin no row."""
    rows = {
        " ".join((*words[n:], *words[:n]))[:WORD_LENGTH].rstrip()
        for n, word in enumerate(words)
        if not word[0].isdigit() or len(words) == 1
    }
    return sorted(rows)


def _address_words(text: str) -> list[str]:
    text = _SHORT.sub(lambda found: _HYPHENED[found[0]], text)
    text = _BLOCK.sub(lambda found: f"{found[1]}{'с' if found[2][0] == 'с' else 'к'}{found[3]}", text)
    text = _LETTER.sub(r"\1\2", text)
    return [w.translate(_ALIKE) if _NUMBER.match(w) else w for w in _WORD.findall(text)]


def phones_of(text: str) -> tuple[str, str]:
    """How numbers begin that were typed like this ("+7912"; "" for none), and the typed digits backwards, for those that
    end so. Both are "" where it is no phone number."""
    digits = "".join(c for c in text if c.isdigit())
    if len(digits) < PHONE_DIGITS or any(not (c.isdigit() or c in "+()-. \u00a0") for c in text):
        return "", ""
    if text.lstrip().startswith("+"):
        return "+" + digits, ""
    if len(digits) > _RUSSIAN_PHONE:
        return "", ""
    if len(digits) == _RUSSIAN_PHONE:
        return ("+7" + digits[1:], "") if digits[0] in "78" else ("", "")
    beginning = "+7" + (digits[1:] if digits[0] in "78" and len(digits) < _RUSSIAN_PHONE - 1 else digits)
    return beginning, digits[::-1]


def hex_of(text: str) -> str:
    """The hexadecimal digits of a MAC, or of a part of one, in small letters; "" where it is none."""
    bare = "".join(c for c in text.lower() if c not in ":-. ")
    return bare if 4 <= len(bare) <= 12 and all(c in "0123456789abcdef" for c in bare) else ""


def other_layout(text: str) -> str:
    """The same keys on the other of the two keyboards ("ktybyf" is "ленина"); "" where that changes nothing sensible."""
    lower = text.lower()
    latin = any("a" <= c <= "z" for c in lower)
    cyrillic = any("а" <= c <= "я" or c == "ё" for c in lower)
    if latin == cyrillic:
        return ""
    return lower.translate(_TO_RU if latin else _TO_EN)
