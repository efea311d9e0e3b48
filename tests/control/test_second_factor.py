"""Two-factor sign-in: codes of an application, recovery codes, and how often they may be guessed."""

from __future__ import annotations

import asyncio
import re
from base64 import b32decode
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from callwright.control.accounts.model import Category, Identity, Role
from callwright.control.accounts.totp import code_at, key_uri, spelled, step_of, step_that_fits
from callwright.control.app import create_app
from callwright.control.errors import TooManyGuesses
from callwright.control.services import Services, Settings
from callwright.control.web.visitor import COOKIE
from callwright.net.clock import ManualClock
from tests.control.test_web_pages import Web, signed_in

PASSWORD = "$ecretPas$$"
OF_THE_RFC = b"12345678901234567890"


@pytest.fixture
async def api(services: Services, admin: Identity) -> AsyncIterator[Web]:
    await services.accounts.set_password(admin, admin.user_id, PASSWORD)
    transport = httpx.ASGITransport(app=create_app(services, Settings(rate_limit=0)), client=("192.0.2.7", 1))
    async with Web(transport=transport, base_url="http://here") as client:
        yield client


@pytest.fixture
async def secret(services: Services, admin: Identity) -> bytes:
    """Of ana, who has turned it on a minute ago."""
    begun = await services.second_factors.begin(await services.accounts.user(admin.user_id))
    made = b32decode(begun.secret)
    await services.second_factors.confirm(admin, code_at(made, step_of(services.clock.wall()) - 1))
    return made


async def nonce_of(api: httpx.AsyncClient) -> str:
    answer = await api.post("/v1.2/voipstudio/login", json={"email": "ana@example.com", "password": PASSWORD})
    assert answer.status_code == 202
    assert answer.json().keys() == {"nonce"}
    return str(answer.json()["nonce"])


async def by_code(api: httpx.AsyncClient, nonce: str, code: str) -> httpx.Response:
    return await api.post("/v1.2/voipstudio/login2fa", json={"nonce": nonce, "code": code})


@pytest.mark.parametrize(
    ("wall", "code"),
    [(59, "287082"), (1111111109, "081804"), (2000000000, "279037"), (20000000000, "353130")],
)
def test_codes_are_those_of_the_test_vectors_of_rfc_6238(wall: int, code: str) -> None:
    assert code_at(OF_THE_RFC, step_of(wall)) == code
    for later, fits in ((-60, False), (-30, True), (0, True), (30, True), (60, False)):
        assert (step_that_fits(OF_THE_RFC, code, wall + later) == step_of(wall)) is fits, later


def test_the_uri_of_the_qr_code_carries_the_secret_and_whose_it_is() -> None:
    parts = urlsplit(key_uri(OF_THE_RFC, "ana@example.com"))
    assert (parts.scheme, parts.netloc, parts.path) == ("otpauth", "totp", "/Callwright:ana@example.com")
    values = parse_qs(parts.query)
    assert values == {
        "secret": [spelled(OF_THE_RFC)],
        "issuer": ["Callwright"],
        "digits": ["6"],
        "period": ["30"],
    }
    assert b32decode(values["secret"][0]) == OF_THE_RFC


async def test_a_login_with_a_second_factor_gives_a_nonce_that_signs_in_with_a_code_only(
    api: Web, services: Services, secret: bytes
) -> None:
    nonce = await nonce_of(api)
    for credentials in ({"X-Auth-Token": nonce}, {"Authorization": f"Bearer {nonce}"}):
        assert (await api.get("/v1.2/voipstudio/ping", headers=credentials)).status_code == 401
    answer = await by_code(api, nonce, code_at(secret, step_of(services.clock.wall())))
    assert answer.status_code == 200
    assert answer.json().keys() == {"message", "user_token", "user_id"}
    mine = {"X-Auth-Token": answer.json()["user_token"]}
    assert (await api.get("/v1.2/voipstudio/ping", headers=mine)).status_code == 200


async def test_a_code_is_used_once_even_by_two_at_the_same_moment(
    api: Web, services: Services, clock: ManualClock, secret: bytes
) -> None:
    code = code_at(secret, step_of(clock.wall()))
    nonces = [await nonce_of(api) for _ in range(3)]
    answers = await asyncio.gather(*(by_code(api, nonce, code) for nonce in nonces))
    assert [one.status_code for one in answers].count(200) == 1
    clock.advance(10)  # within the window still
    for nonce in nonces:
        assert (await by_code(api, nonce, code)).status_code == 401
    clock.advance(30)
    fresh = code_at(secret, step_of(clock.wall()))
    assert (await by_code(api, await nonce_of(api), fresh)).status_code == 200


async def test_a_nonce_is_good_once_and_dies_after_five_minutes(
    api: Web, services: Services, clock: ManualClock, secret: bytes
) -> None:
    nonce, late = await nonce_of(api), await nonce_of(api)
    assert (await by_code(api, nonce, code_at(secret, step_of(clock.wall())))).status_code == 200
    clock.advance(60)
    assert (await by_code(api, nonce, code_at(secret, step_of(clock.wall())))).status_code == 401
    clock.advance(250)
    refused = await by_code(api, late, code_at(secret, step_of(clock.wall())))
    assert refused.status_code == 401
    assert "login is over" in refused.json()["message"]


async def test_wrong_codes_make_the_next_one_wait_and_a_recovery_code_does_not(
    services: Services, admin: Identity, clock: ManualClock, secret: bytes
) -> None:
    factors = services.second_factors
    recovery = (await factors.new_recovery_codes(admin))[0]
    right = code_at(secret, step_of(clock.wall()))
    wrong = str((int(right) + 1) % 1_000_000).zfill(6)
    for _ in range(5):
        assert not await factors.accepts(admin.user_id, wrong)
    with pytest.raises(TooManyGuesses):
        await factors.accepts(admin.user_id, right)
    assert await factors.accepts(admin.user_id, recovery)
    clock.advance(2)
    assert not await factors.accepts(admin.user_id, wrong)
    clock.advance(3)
    with pytest.raises(TooManyGuesses) as refusal:
        await factors.accepts(admin.user_id, right)
    assert refusal.value.seconds == 1
    clock.advance(1)
    assert await factors.accepts(admin.user_id, code_at(secret, step_of(clock.wall())))
    assert not await factors.accepts(admin.user_id, wrong)  # counted from the beginning again


async def test_each_recovery_code_signs_in_once_as_it_is_written_and_is_not_in_the_database(
    api: Web, services: Services, admin: Identity, secret: bytes
) -> None:
    codes = await services.second_factors.new_recovery_codes(admin)
    assert len(set(codes)) == 10
    assert (await by_code(api, await nonce_of(api), codes[0].upper())).status_code == 200
    assert (await by_code(api, await nonce_of(api), codes[0])).status_code == 401
    assert (await by_code(api, await nonce_of(api), codes[1].replace("-", " "))).status_code == 200
    assert (await services.second_factors.standing(admin.user_id)).codes_left == 8
    await services.second_factors.new_recovery_codes(admin)
    assert (await by_code(api, await nonce_of(api), codes[2])).status_code == 401
    kept = await services.stores.accounts.second_factor(admin.user_id)
    assert kept is not None
    assert spelled(secret) not in kept.sealed_secret
    assert secret.hex() not in kept.sealed_secret


async def test_keys_and_tokens_need_no_code_and_a_password_as_basic_credentials_is_refused(
    api: Web, services: Services, admin: Identity
) -> None:
    user = await services.accounts.create_user(
        admin, username="prog", password=PASSWORD, role=Role.VIEWER, category=Category.API
    )
    identity = await services.accounts.identity(user.id, user.username, user.role)
    public, key = await services.keys.create("ci", user)
    token, _ = await services.keys.create_token(identity, "app")
    assert (await api.get("/v1.2/voipstudio/ping", auth=("prog", PASSWORD))).status_code == 200
    begun = await services.second_factors.begin(user)
    code = code_at(b32decode(begun.secret), step_of(services.clock.wall()))
    await services.second_factors.confirm(identity, code)
    assert (await api.get("/v1.2/voipstudio/ping", auth=("prog", PASSWORD))).status_code == 401
    assert (await api.get("/v1.2/voipstudio/ping", auth=(public, key))).status_code == 200
    assert (await api.get("/v1.2/voipstudio/ping", headers={"X-Auth-Token": token})).status_code == 200


async def test_the_account_page_sets_it_up_and_the_page_to_sign_in_asks_for_the_code(
    api: Web, services: Services, admin: Identity, clock: ManualClock
) -> None:
    await signed_in(services, api, admin.user_id)
    refused = await api.fill("/account/2fa", password="not the password")
    assert refused.status_code == 422
    assert "That is not your password." in refused.text
    begun = await api.fill("/account/2fa", password=PASSWORD)
    assert "<svg" in begun.text
    (written,) = re.findall(r"<code data-copy-text>([A-Z2-7]{32})</code>", begun.text)
    secret = b32decode(written)
    wrong = await api.fill("/account/2fa/confirm", code="12345")
    assert wrong.status_code == 422
    assert written in wrong.text
    assert (await services.second_factors.standing(admin.user_id)).since is None
    done = await api.fill("/account/2fa/confirm", code=code_at(secret, step_of(clock.wall())))
    assert len(re.findall(r"\b(?:[a-z2-7]{4}-){3}[a-z2-7]{4}\b", done.text)) == 10
    assert written not in (await api.get("/account")).text

    clock.advance(30)
    api.cookies.clear()
    asked = await api.post("/login", data={"email": "ana", "password": PASSWORD, "next": "/runs"})
    assert asked.status_code == 200
    assert COOKIE not in api.cookies
    (nonce,) = re.findall(r'name="nonce" value="([0-9a-f]{40})"', asked.text)
    again = await api.post("/login/code", data={"nonce": nonce, "code": "12345", "next": "/runs"})
    assert again.status_code == 401
    assert nonce in again.text
    code = code_at(secret, step_of(clock.wall()))
    signed = await api.post("/login/code", data={"nonce": nonce, "code": code, "next": "/runs"})
    assert (signed.status_code, signed.headers["location"]) == (303, "/runs")
    assert (await api.get("/session")).status_code == 200

    assert (await api.fill("/account/2fa/remove", password="no")).status_code == 422
    assert (await api.fill("/account/2fa/remove", password=PASSWORD)).status_code == 303
    api.cookies.clear()
    plain = await api.post("/login", data={"email": "ana", "password": PASSWORD})
    assert plain.status_code == 303


async def test_the_dialog_over_a_page_is_given_the_nonce_and_then_the_session(
    api: Web, services: Services, clock: ManualClock, secret: bytes
) -> None:
    wants = {"Accept": "application/json"}
    asked = await api.post("/login", data={"email": "ana", "password": PASSWORD}, headers=wants)
    assert asked.status_code == 202
    fields = {"nonce": asked.json()["nonce"], "code": code_at(secret, step_of(clock.wall()))}
    assert (await api.post("/login/code", data=fields, headers=wants)).json().keys() == {"csrf", "username"}
    over = await api.post("/login/code", data=fields, headers=wants)
    assert over.status_code == 410


async def test_an_administrator_turns_it_off_for_somebody_else_and_nobody_else_may(
    api: Web, services: Services, admin: Identity
) -> None:
    ben = await services.accounts.create_user(admin, username="ben", password=None, role=Role.MEMBER)
    identity = await services.accounts.identity(ben.id, ben.username, ben.role)
    begun = await services.second_factors.begin(ben)
    code = code_at(b32decode(begun.secret), step_of(services.clock.wall()))
    await services.second_factors.confirm(identity, code)
    await signed_in(services, api, ben.id)
    assert (await api.fill(f"/members/{admin.user_id}/no-2fa")).status_code == 403
    await signed_in(services, api, admin.user_id)
    assert "Turn two-factor sign-in off" in (await api.get("/members")).text
    assert (await api.fill(f"/members/{ben.id}/no-2fa")).status_code == 303
    assert (await services.second_factors.standing(ben.id)).since is None
    actions = [entry.action for entry in await services.audit.log(admin)]
    assert actions[:2] == ["twofactor.off", "twofactor.on"]
