"""Sealed secrets are opened once, and only by their own key for their own record."""

from __future__ import annotations

import pytest

from callwright.control.accounts.model import Identity
from callwright.control.credentials.vault import Vault
from callwright.control.services import Services
from tests.control.telephony import a_user


def test_a_secret_opens_for_its_record_and_key_alone() -> None:
    vault, other = (Vault(bytes([number]) * 32, lambda size: b"n" * size) for number in (1, 2))
    sealed = vault.seal("secret", "line/1")
    assert vault.opened(sealed, "line/1") == "secret"
    assert (vault.opened(sealed, "line/2"), other.opened(sealed, "line/1")) == (None, None)


async def test_each_password_of_the_pbx_is_opened_once(
    services: Services, admin: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    for ext in ("2001", "2002"):
        await a_user(services, admin, ext)
    opened, plain = [], Vault.open

    def counted(self: Vault, sealed: str, context: str) -> str:
        opened.append(context)
        return plain(self, sealed, context)

    monkeypatch.setattr(Vault, "open", counted)
    assert len(await services.lines.switched()) == 2
    assert len(opened) == len(set(opened)) == 2
