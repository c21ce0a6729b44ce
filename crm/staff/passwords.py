"""Passwords of employees: what one must be like, and their hashes (argon2id).

A hash takes 64 MiB and a tenth of a second on purpose, so `Passwords` makes only few at once: who comes beyond that
waits, and beyond a short queue is sent away. Otherwise anybody who posts sign-ins could take the memory of the process,
or all of the threads that serve pages.
"""

from __future__ import annotations

import threading
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from crm.who import Invalid, Refused

SHORTEST, LONGEST = 10, 200  # characters; the longest bounds what is hashed
DISTINCT = 4  # fewer different characters are no password
# RFC 9106's second recommended option (section 4): for where 2 GiB a hash are too many.
TIME_COST, MEMORY_KIB, LANES = 3, 65_536, 4
AT_ONCE = 2  # 128 MiB in all
WAITING = 8  # threads in the queue: a small part of those that serve pages
WAIT_S = 5.0

COMMONEST = frozenset(
    """
    0123456789 0987654321 1029384756 1122334455 1234512345 12345678910 1234567890 123456789a 123456789q 1234554321
    123qwe123qwe 123qweasdzxc 147258369a 1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 3rjs1la7qe 987654321a a123456789
    abcdefghij administrator adminadmin asdfghjkl; changeme123 football123 iloveyou123 letmein123 password01 password12
    password123 password1234 password!1 passw0rd123 passwordpassword princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcrfv
    qwe123qwe123 qweasdzxc123 qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop qwertyuiop[] welcome123
    zaq12wsxcde3 zxcvbnm123 йцукенгшщз йцукен1234 йцукен12345 пароль1234 пароль12345 парольпароль администратор
    домофон123 teledom123 teledomteledom
    """.split()
)


class TooBusy(Refused):
    """Too many passwords are being checked: the same again in a moment may do."""


class Passwords:
    """Makes and checks hashes, at most `at_once` at a time. Safe to use from several threads; one for the process."""

    def __init__(
        self,
        *,
        time_cost: int = TIME_COST,
        memory_kib: int = MEMORY_KIB,
        lanes: int = LANES,
        at_once: int = AT_ONCE,
        waiting: int = WAITING,
        wait_s: float = WAIT_S,
    ) -> None:
        self._hasher = PasswordHasher(
            time_cost=time_cost, memory_cost=memory_kib, parallelism=lanes, type=Type.ID
        )
        self._wait_s = wait_s
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._running = threading.BoundedSemaphore(at_once)
        self._nobodys = self._hasher.hash(b"nobody has this one")

    def check_new(self, password: str, login: str) -> None:
        """Raises Invalid (field "password"): it is too short, too long, or easily guessed."""
        text = _normal(password)
        if not SHORTEST <= len(text) <= LONGEST:
            raise Invalid({"password": f"a password has from {SHORTEST} to {LONGEST} characters"})
        if text.casefold() == _normal(login).casefold():
            raise Invalid({"password": "the login is no password: everybody knows it"})
        if text.casefold() in COMMONEST or len(set(text)) < DISTINCT:
            raise Invalid({"password": "this is one of the first that anybody tries: take another"})

    def hash(self, password: str) -> str:
        """What is kept of it. Raises TooBusy."""
        with self._place():
            return self._hasher.hash(_bytes(password))

    def verify(self, hash: str, password: str) -> bool:
        """Whether it is the one of `hash`. An empty hash is nobody's, and takes as long. Raises TooBusy."""
        fits = 0 < len(password) <= LONGEST * 4  # normalising can make it shorter
        with self._place():
            try:
                same = self._hasher.verify(hash or self._nobodys, _bytes(password if fits else "too long"))
            except (VerificationError, InvalidHashError):
                return False
        return same and fits and bool(hash)

    def is_stale(self, hash: str) -> bool:
        """Whether it was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(hash)

    @contextmanager
    def _place(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise TooBusy("too many sign in at this moment: try again in a few seconds")
        try:
            if not self._running.acquire(timeout=self._wait_s):
                raise TooBusy("signing in takes too long at this moment: try again in a few seconds")
            try:
                yield
            finally:
                self._running.release()
        finally:
            self._places.release()


def _normal(text: str) -> str:
    """The same for all ways in which keyboards send a letter."""
    return unicodedata.normalize("NFKC", text)


def _bytes(password: str) -> bytes:
    return _normal(password).encode("utf-8", "surrogatepass")
