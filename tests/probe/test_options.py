from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.net.entropy import seeded_entropy
from callwright.net.impairment import Impairments
from callwright.outcome.terms import Blame, Verdict
from callwright.probe.options import Asked, OptionsTrain
from callwright.probe.train import Shape
from callwright.sip.lint import lint
from callwright.sip.message import Request, parse_datagram
from callwright.sip.transport import Address, Transport
from callwright.sip.uri import Uri
from tests.probe.far_end import travel


def options(transport: Transport = Transport.UDP, packets: int = 25) -> OptionsTrain:
    asked = Asked(Uri.parse("sip:pbx.example.com"), Address("192.0.2.7", 5070), transport, "Test/1")
    return OptionsTrain(Shape(packets), asked, 1000.0, seeded_entropy(3))


def answered(data: bytes, status: str = "200 OK", extra: str = "Server: Unit") -> bytes:
    request = parse_datagram(data)
    assert isinstance(request, Request)
    kept = [f"{name}: {request.headers.get(name)}" for name in ("Via", "From", "Call-ID", "CSeq")]
    lines = [f"SIP/2.0 {status}", *kept, f"To: {request.headers.get('To')};tag=x", extra, "Content-Length: 0"]
    return "\r\n".join([*lines, "", ""]).encode()


def test_each_request_is_well_formed_and_a_transaction_of_its_own() -> None:
    train = options()
    journey = travel(train, lambda data, now: [answered(data)])
    assert not any(lint(data).errors for data, _ in journey.sent)
    branches = {parse_datagram(data).headers.top_via.branch for data, _ in journey.sent}
    assert len(branches) == 25


@pytest.mark.parametrize("status", ["200 OK", "401 Unauthorized", "404 Not Found", "503 Service Unavailable"])
def test_any_final_answer_proves_life(status: str) -> None:
    train = options()
    travel(
        train,
        lambda data, now: [answered(data, "100 Trying"), answered(data, status)],
        Impairments(delay=0.02),
    )
    found = train.result("x", "192.0.2.1", 5.0)
    assert (found.verdict, found.sip_code, found.user_agent) == (Verdict.PASSED, int(status[:3]), "Unit")
    assert found.rtt_ms == pytest.approx(20.0)
    assert found.reason.startswith(f"It answers {status}. 25 of 25 came back")


def test_a_lost_request_is_lost_since_none_is_repeated() -> None:
    train = options()
    journey = travel(train, lambda data, now: [answered(data)], Impairments(loss=0.3))
    found = train.result("x", "192.0.2.1", 5.0)
    assert len(journey.sent) == 25
    assert found.lost == 25 - len(journey.there)
    assert found.lost


def test_an_answer_in_pieces_of_a_stream_is_put_together() -> None:
    train = options(Transport.TCP, packets=3)

    def pieces(data: bytes, now: float) -> list[bytes]:
        whole = answered(data)
        return [whole[:50], whole[50:]]

    travel(train, pieces)
    assert train.result("x", "192.0.2.1", 5.0).received == 3


def test_a_server_that_speaks_something_else_is_blamed_for_it() -> None:
    train = options(packets=2)
    travel(train, lambda data, now: [b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    found = train.result("x", "192.0.2.1", 5.0)
    assert (found.verdict, found.blame) == (Verdict.FAILED, Blame.TARGET)
    assert found.reason.startswith("Its answer cannot be used: ")


def test_silence_is_told_with_the_transport() -> None:
    train = options(packets=2)
    travel(train, lambda data, now: [])
    found = train.result("x", "192.0.2.1", 5.0)
    assert found.reason == "No answer to 2 OPTIONS over UDP."
    assert found.sip_code is None


@given(st.binary(max_size=300), st.sampled_from([Transport.UDP, Transport.TCP]))
def test_nothing_that_comes_makes_it_raise(data: bytes, transport: Transport) -> None:
    train = options(transport, packets=2)
    train.wake(1000.0)
    train.receive(data, 1000.1, 0.0)
    train.receive(b"SIP/2.0 200 OK\r\n" + data, 1000.1, 0.0)
    train.result("x", None, 0.0)
