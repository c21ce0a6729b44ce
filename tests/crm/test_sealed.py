"""Sealed texts: opened by the key that sealed them and by no other."""

from __future__ import annotations

import pytest

from crm.sealed import Seal, SealError, new_key


def test_a_sealed_text_tells_nothing_and_is_opened_by_the_same_key() -> None:
    key = new_key()
    sealed = Seal(key).seal("пароль")
    assert "пароль" not in sealed
    assert sealed.isascii()
    assert sealed != Seal(key).seal("пароль")
    assert Seal(key).open(sealed) == "пароль"


def test_no_password_stays_none() -> None:
    seal = Seal(new_key())
    assert seal.seal("") == seal.open("") == ""


def test_another_key_or_a_damaged_text_is_named_with_what_to_do() -> None:
    seal = Seal(new_key())
    for text in (Seal(new_key()).seal("secret"), seal.seal("secret")[:-8], "plain", "пароль"):
        with pytest.raises(SealError, match=r"another key than TELEDOM_SECRET_KEY.*enter the password again"):
            seal.open(text)


def test_a_missing_key_is_told_from_one_that_is_none() -> None:
    with pytest.raises(SealError, match="TELEDOM_SECRET_KEY is not set"):
        Seal("")
    for wrong in ("secret", "ключ", new_key()[:-5]):
        with pytest.raises(SealError, match="TELEDOM_SECRET_KEY is no key") as caught:
            Seal(wrong)
        assert wrong not in str(caught.value)
