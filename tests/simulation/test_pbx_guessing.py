"""What a stranger learns from the PBX: nothing of who has an account, and passwords only slowly."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import pytest

from callwright.pbx.b2bua import B2buaConfig
from callwright.pbx.record import AccessDenied, BindingChanged, SourceBanned, SourceReleased
from callwright.sip.digest import Credentials
from callwright.sip.events import Event, RegistrationFailed, RegistrationSucceeded
from callwright.sip.transport import Hop
from tests.simulation.exchange import DOMAIN, OFFER, PBX, Exchange, PhoneAt

METHODS = (
    *(
        "OPTIONS",
        "REGISTER",
        "INVITE",
        "MESSAGE",
        "SUBSCRIBE",
        "PUBLISH",
        "NOTIFY",
        "INFO",
        "REFER",
        "UPDATE",
    ),
    *("PRACK", "BYE", "CANCEL", "FROBNICATE"),
)


def ask(exchange: Exchange, stranger: PhoneAt, method: str, user: str, more: str = "") -> str:
    """One request without a word about its branch, tags and nonce; then all that was answered at once."""
    exchange.pass_time(40)
    before = len(exchange.log)
    body = OFFER.decode() if method == "INVITE" else ""
    kind = "Content-Type: application/sdp\r\n" if body else ""
    number = len(exchange.log)
    host, port = stranger.address
    text = (
        f"{method} sip:{user}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{number}\r\n"
        f"From: <sip:x@{DOMAIN}>;tag=t{number}\r\nTo: <sip:{user}@{DOMAIN}>\r\nCall-ID: c{number}\r\n"
        f"CSeq: 1 {method}\r\nMax-Forwards: 70\r\nContact: <sip:x@{host}>\r\n{more}{kind}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    hop = Hop(stranger.hop.transport, stranger.hop.remote, stranger.hop.local)
    exchange.pbx.receive(text.encode(), hop, exchange.clock.now)
    exchange.pass_time(0.001)
    said = [sent for sent in exchange.log[before:] if sent.hop.remote == stranger.address]
    others = [sent for sent in exchange.log[before:] if sent.hop.remote not in (stranger.address, PBX)]
    assert not others, "nobody else hears of it"
    text = "\n".join(sent.data.decode() for sent in said).replace(user, "USER")
    return re.sub(r"(branch=|tag=|nonce=|Call-ID: )[^;,\s]+", r"\1", text)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("open_methods", [frozenset(), frozenset({"OPTIONS", "INVITE", "MESSAGE"})])
def test_strangers_are_answered_alike_for_known_and_unknown_users(
    method: str, open_methods: frozenset[str]
) -> None:
    exchange = Exchange(config=B2buaConfig(open_methods=open_methods))
    if not open_methods:  # whom everybody may call, everybody can hear ring
        exchange.registered("1001")
    stranger = exchange.phone("9")
    answers = [ask(exchange, stranger, method, user) for user in ("1001", "1002", "7777")]
    assert answers[0]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS", "MESSAGE"])
def test_wrong_credentials_are_answered_alike_for_known_and_unknown_users(method: str) -> None:
    exchange = Exchange()
    exchange.registered("1001")
    stranger = exchange.phone("9")
    name = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    answers = []
    for user in ("1001", "1002", "7777"):
        digest = f'{name}: Digest username="{user}", realm="{DOMAIN}", nonce="abc", uri="sip:{DOMAIN}", '
        answers.append(ask(exchange, stranger, method, user, f'{digest}response="{"0" * 32}"\r\n'))
    assert answers[0] == answers[1] == answers[2]


def test_right_password_with_a_nonce_that_is_not_ours_is_told_from_no_wrong_one() -> None:
    from callwright.sip.digest import compute_response

    exchange = Exchange()
    stranger = exchange.phone("9")
    answers = []
    for password in ("secret of 1001", "wrong"):
        response = compute_response(
            algorithm="MD5", username="1001", realm=DOMAIN, password=password, nonce="abc",
            method="REGISTER", uri=f"sip:{DOMAIN}", qop=None, cnonce="", nonce_count="", body=b"",
        )  # fmt: skip
        digest = f'Authorization: Digest username="1001", realm="{DOMAIN}", nonce="abc", uri="sip:{DOMAIN}", '
        answers.append(ask(exchange, stranger, "REGISTER", "1001", f'{digest}response="{response}"\r\n'))
    assert answers[0] == answers[1]
    assert "stale" in answers[0]


class Guesser:
    """Tries the next password, or the next account, as soon as the last one was refused."""

    def __init__(self, exchange: Exchange, host: str, account: Callable[[int], str]) -> None:
        self.exchange, self.account, self.tried = exchange, account, 0
        self.phone = exchange.phone("9", host=host)
        self.phone.react = self._next
        self._guess()

    def _guess(self) -> None:
        self.tried += 1
        self.phone.register(credentials=Credentials(self.account(self.tried), f"guess {self.tried}"))

    def _next(self, event: Event) -> None:
        if isinstance(event, RegistrationFailed) and self.tried < 400:
            self._guess()


def denied(events: Sequence[object]) -> int:
    return len([event for event in events if isinstance(event, AccessDenied)])


@pytest.mark.parametrize("host", ["203.0.113.9", "127.0.0.1"])
def test_passwords_of_an_account_are_judged_ever_more_slowly(host: str) -> None:
    exchange = Exchange()
    guesser = Guesser(exchange, host, lambda _: "1001")
    exchange.pass_time(60)
    judged = denied(exchange.pbx.events())
    assert 4 <= judged <= 12
    assert guesser.tried > judged, "what comes too soon is answered 503 without a look at it"
    assert exchange.said(None, "503 REGISTER")[0].header("Retry-After")
    exchange.pass_time(3_600)
    assert denied(exchange.pbx.events()) <= 61


def test_right_password_is_late_after_wrong_ones_and_then_as_quick_as_ever() -> None:
    exchange = Exchange()
    attacker = exchange.phone("9", host="203.0.113.9")
    for number in range(5):
        attacker.register(credentials=Credentials("1001", f"guess {number}"))
        exchange.pass_time(1.5)
    alice = exchange.phone("1001")
    begun = exchange.clock.now
    alice.register()
    exchange.pass_time(0)
    assert not alice.all(RegistrationSucceeded), "the account is slow from everywhere"
    exchange.pass_time(8)
    assert alice.one(RegistrationSucceeded).at - begun <= 2
    for number in range(8):
        attacker.register(credentials=Credentials("1001", f"guess {number}"))
        exchange.pass_time(0)
    alice.register()
    exchange.pass_time(0)
    assert len(alice.all(RegistrationSucceeded)) == 2


def test_address_that_tries_many_accounts_is_banned_told_and_let_in_again() -> None:
    exchange = Exchange()
    bob = exchange.registered("1002")
    guesser = Guesser(exchange, "203.0.113.9", lambda number: f"20{number:02}")
    exchange.pass_time(30)
    events = exchange.pbx.events()
    (banned,) = [event for event in events if isinstance(event, SourceBanned)]
    assert (banned.source, banned.accounts) == ("203.0.113.9", 10)
    assert denied(events) == 10
    assert guesser.tried >= 11
    assert exchange.said(None, "403 REGISTER", guesser.phone)
    for method in ("OPTIONS", "REGISTER", "INVITE", "MESSAGE"):
        answers = [ask(exchange, guesser.phone, method, user) for user in ("1002", "7777")]
        assert "SIP/2.0 403" in answers[0]
        assert answers[0] == answers[1]
    alice = exchange.registered("1001")
    assert alice is not bob
    exchange.pass_time(3_600)
    released = [event for event in exchange.pbx.events() if isinstance(event, SourceReleased)]
    assert [(event.source, event.reason) for event in released] == [("203.0.113.9", "its time is over")]
    assert "SIP/2.0 401" in ask(exchange, guesser.phone, "REGISTER", "1002")


def test_loopback_that_tries_many_accounts_is_slowed_and_never_banned() -> None:
    exchange = Exchange()
    Guesser(exchange, "127.0.0.1", lambda number: f"user{number}")
    exchange.pass_time(120)
    events = exchange.pbx.events()
    assert not [event for event in events if isinstance(event, SourceBanned)]
    assert 10 < denied(events) < 60


def test_credentials_in_the_name_of_another_address_ban_nobody() -> None:
    exchange = Exchange()
    attacker, victim = exchange.phone("9", host="203.0.113.9"), exchange.phone("8", host="203.0.113.80")
    challenge = ask(exchange, attacker, "REGISTER", "1001")
    assert "401" in challenge
    nonce = re.findall(r'nonce="([^"]+)"', exchange.said(None, "401 REGISTER")[-1].data.decode())[0]
    for number in range(40):
        digest = f'Digest username="u{number}", realm="{DOMAIN}", nonce="{nonce}", uri="sip:{DOMAIN}", '
        ask(exchange, victim, "REGISTER", "1001", f'Authorization: {digest}response="{"0" * 32}"\r\n')
    assert not [event for event in exchange.pbx.events() if isinstance(event, SourceBanned)]
    alice = exchange.phone("1001", host="203.0.113.80", config=None)
    alice.register()
    exchange.pass_time(10)
    assert [event for event in exchange.pbx.events() if isinstance(event, BindingChanged)]


def test_phone_that_gives_up_while_its_credentials_wait_costs_nothing() -> None:
    exchange = Exchange()
    attacker = exchange.phone("9", host="203.0.113.9")
    for number in range(6):
        attacker.register(credentials=Credentials("1001", f"guess {number}"))
        exchange.pass_time(0 if number < 3 or number == 5 else 4)
    alice = exchange.phone("1001")
    call = alice.call("1002")
    exchange.pass_time(0.1)
    call.hangup(now=exchange.clock.now)
    exchange.pass_time(60)
    exchange.assert_quiet()
    assert exchange.pbx.calls == []
