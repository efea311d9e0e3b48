"""The messages of failed calls as a load tells them: so many of each class, from all loops, masked."""

from __future__ import annotations

from callwright.cli.load_result import print_result
from callwright.evidence.redaction import Redactor
from callwright.generator.loop import CallNoted, FailedLadder, MessageNoted
from callwright.generator.names import OUTCOMES
from callwright.load.accounts import parse_accounts
from callwright.load.ladders import chosen, told

REGISTER = (
    b"REGISTER sip:pbx SIP/2.0\r\nCall-ID: a\r\n"
    b'Authorization: Digest username="1001", realm="r", nonce="n", response="0123456789abcdef"\r\n\r\n'
)


def ladder(at: float, outcome: str, code: int = 0, setup: int = 0, number: int = 1) -> FailedLadder:
    call = CallNoted(at, number, 0, OUTCOMES.index(outcome), code, 0, setup, -1)
    messages = (
        MessageNoted(at - 0.5, True, REGISTER),
        MessageNoted(at, False, b"SIP/2.0 403 No\r\nX: \x1b[2J\r\n\r\n"),
    )
    return FailedLadder(call, True, messages)


def test_of_several_loops_the_first_of_each_class_are_taken_and_the_slowest_of_all() -> None:
    one = [ladder(3.0, "status", 503), ladder(4.0, "timeout"), ladder(9.0, "answered", setup=70_000)]
    other = [ladder(1.0, "status", 503), ladder(2.0, "status", 503), ladder(2.5, "status", 404)]
    other.append(ladder(5.0, "answered", setup=80_000))
    found = chosen([*one, *other], 2)
    assert [(each.call.at, each.call.code) for each in found] == [
        (1.0, 503), (2.0, 503), (2.5, 404), (4.0, 0), (5.0, 0),
    ]  # fmt: skip


def test_the_answer_to_a_challenge_is_masked_and_nothing_in_a_message_can_act() -> None:
    found = told(ladder(1.0, "status", 403), Redactor())
    first, second = found["messages"]
    assert (found["why"], found["outcome"], found["whole"]) == ("failed", "403", True)
    assert (first["direction"], first["at_ms"], first["summary"]) == ("sent", 0.0, "REGISTER sip:pbx SIP/2.0")
    assert 'response="****************"' in first["text"]
    assert (second["direction"], second["at_ms"], second["summary"]) == ("received", 500.0, "SIP/2.0 403 No")
    assert "\x1b" not in second["text"]


def test_a_password_of_the_accounts_is_masked_wherever_it_stands() -> None:
    accounts = parse_accounts("username,password\n1001,opensesame\n1002,swordfish\n1003,abracadabra\n")
    call = CallNoted(1.0, 1, 0, OUTCOMES.index("status"), 403, 0, 0, -1)
    sent = b"INVITE sip:pbx SIP/2.0\r\nX-A: opensesame\r\nX-B: swordfish\r\n\r\n"
    kept = FailedLadder(call, True, (MessageNoted(0.5, True, sent),))
    # Of two processes each has its own first account.
    text = told(kept, Redactor(accounts.passwords(0, 2)))["messages"][0]["text"]
    assert "X-A: **********" in text
    assert "X-B: *********" in text
    assert accounts.passwords(1, 2) == ["abracadabra"]
    assert accounts.passwords(-1, 2) == []


def test_a_terminal_shows_the_first_call_of_each_class() -> None:
    kept = [
        ladder(1.0, "status", 503, number=7),
        ladder(2.0, "status", 503, number=8),
        ladder(3.0, "timeout"),
    ]
    document = {
        "verdict": "failed", "reason": "", "attempted": 3, "answered": 0, "failed": 3, "canceled": 0,
        "seconds": 1.0,
        "rate": {"mean": 1.0}, "failures": {}, "media": {"streams": 0}, "retry_after": {"responses": 0},
        "prack": {"reliable": 0}, "refused_srtp": 0,
        "connections": {"opened": 0, "accepted": 0, "failed": 0, "handshakes": 0},
        "session": {"refreshed": 0, "too_brief": 0},
        "generator": {"why": []}, "ladders": [told(each, Redactor()) for each in kept],
        **{f"{name}_ms": {"count": 0} for name in ("pdd", "setup", "bye", "register")},
    }  # fmt: skip
    lines: list[str] = []
    print_result(document, lines.append)
    assert "503, call 7 at 1.000 s:" in lines
    assert "timeout, call 1 at 3.000 s:" in lines
    assert not any("call 8" in line for line in lines)
    assert "           0.0 ms -> REGISTER sip:pbx SIP/2.0" in lines
    assert "         500.0 ms <- SIP/2.0 403 No" in lines
