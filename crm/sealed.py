"""Texts that are encrypted at rest: panels' passwords, secrets of second factors. Sealed with Fernet, by a key that is
not in the database.

The key stands in the environment variable TELEDOM_SECRET_KEY. Who loses it has to enter the passwords again.
"""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken

from config import SECRET_KEY


class SealError(Exception):
    """The key is missing or is not the one that a text was sealed with; the message says what to do."""


class Seal:
    """Seals and opens with `key`, the value of TELEDOM_SECRET_KEY. Raises SealError: it is missing, or no key."""

    def __init__(self, key: str) -> None:
        if not key:
            raise SealError(
                f"passwords and secrets are sealed, and {SECRET_KEY} is not set: set it to the key"
            )
        try:
            self._fernet = Fernet(key.encode())
        except ValueError:
            raise SealError(
                f"{SECRET_KEY} is no key: 32 bytes in URL-safe base64 are expected, 44 characters in all"
            ) from None

    def seal(self, text: str) -> str:
        """`text` in ASCII letters that tell nothing without the key; an empty one, for "none", stays empty."""
        return self._fernet.encrypt(text.encode()).decode() if text else ""

    def open(self, sealed: str) -> str:
        """The text that was sealed. Raises SealError: by another key, or it was changed."""
        if not sealed:
            return ""
        try:
            return self._fernet.decrypt(sealed.encode()).decode()
        except InvalidToken:
            raise SealError(
                f"opening a sealed password or secret: it was sealed with another key than {SECRET_KEY}, or is damaged; "
                "set the right key, or enter the password again"
            ) from None


def new_key() -> str:
    """A new key for TELEDOM_SECRET_KEY."""
    return Fernet.generate_key().decode()
