"""The native scanner and its pure twin say the same of everything."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callwright.sip import scan as pure
from callwright.sip.message import DEFAULT_LIMITS, Message, MessageLimits, serialize
from callwright.sip.validity import find_faults, is_sound
from tests.kit.examples import examples
from tests.sip.test_wire_properties import SEEDS, messages, mutated
from tests.sip.twins import NATIVE, needs_native, outcome
from tests.sip.wire import INVITE, changed, torture_cases

pytestmark = needs_native

MEASURES = (
    DEFAULT_LIMITS.start_line,
    DEFAULT_LIMITS.head,
    DEFAULT_LIMITS.header_count,
    DEFAULT_LIMITS.header_name,
    DEFAULT_LIMITS.header_value,
)
small_limits = st.builds(
    MessageLimits,
    st.integers(0, 60),
    st.integers(0, 400),
    st.integers(0, 16),
    st.integers(60, 70),
    st.integers(0, 60),
    st.integers(0, 20),
)


def scanned(twin: object, data: bytes, measures: tuple[int, ...]) -> tuple[object, ...]:
    """What a scanner says, its errors told in full."""
    try:
        return tuple(twin.scan(data, *measures))  # type: ignore[attr-defined]
    except pure.ScanError as error:
        return error.reason, error.line, error.status, error.start_line, error.fields


def assert_same(data: bytes, limits: MessageLimits = DEFAULT_LIMITS) -> None:
    assert outcome("native", data, limits) == outcome("pure", data, limits)
    measures = (
        limits.start_line, limits.head, limits.header_count, limits.header_name, limits.header_value,
    )  # fmt: skip
    assert scanned(NATIVE, data, measures) == scanned(pure, data, measures)
    assert NATIVE is not None
    read = NATIVE.read_sound(data, *measures)
    if read is not None:
        method, _, uri, _, index, _, _ = read
        assert is_sound(index, method, None if method is None else uri)
        assert find_faults(index, method, None if method is None else uri) == []


@pytest.mark.parametrize("case", torture_cases(), ids=lambda case: case.name)
def test_the_twins_agree_on_the_torture_set(case: object) -> None:
    assert_same(case.data)  # type: ignore[attr-defined]


@settings(max_examples=examples(80), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages(), st.binary(max_size=20))
def test_the_twins_agree_on_generated_messages(message: Message, noise: bytes) -> None:
    assert_same(serialize(message))
    assert_same(noise + serialize(message))
    assert_same(serialize(message) + noise)


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed[:20].decode("latin-1"))
@settings(max_examples=examples(25), deadline=None)
@given(draw=st.data())
def test_the_twins_agree_on_mutilated_messages(seed: bytes, draw: st.DataObject) -> None:
    assert_same(mutated(draw, seed))


@settings(max_examples=examples(150), deadline=None)
@given(st.sampled_from(SEEDS), small_limits)
def test_the_twins_agree_on_every_limit(seed: bytes, limits: MessageLimits) -> None:
    assert_same(seed, limits)


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=200))
def test_the_twins_agree_on_any_octets(data: bytes) -> None:
    assert_same(data)
    assert_same(b"\r\n".join([b"OPTIONS sip:a@b SIP/2.0", data, b"", b""]))


def test_the_twins_agree_on_every_prefix_and_on_every_octet_at_every_place() -> None:
    for place in range(len(INVITE)):
        assert_same(INVITE[:place])
        for octet in (0, 9, 10, 13, 32, 34, 44, 58, 59, 64, 92, 127, 128, 255):
            assert_same(INVITE[:place] + bytes([octet]) + INVITE[place + 1 :])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"192.0.2.10:5060;branch", b"203.0.113.255:65535;branch"),
        (b"192.0.2.10:5060;branch", b"203.0.113.255:60999;branch"),
        (b"192.0.2.10:5060;branch", b"203.0.113.255:65536;branch"),
        (b"192.0.2.10:5060;branch", b"203.0.113.256:5060;branch"),
        (b"192.0.2.10:5060;branch", b"192.0.2.010:5060;branch"),
        (b"192.0.2.10:5060;branch", b"[2001:db8::1]:5060;branch"),
        (b"192.0.2.10:5060;branch", b"host.:59999;branch"),
        (b"Max-Forwards: 70", "Max-Forwards: ٧٠".encode()),
        (b"Content-Length: 5", "Content-Length: ٥".encode()),
        (b"Content-Length: 5", b"Content-Length: 0000000005"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5", b"Content-Length: 4294967296"),
        (b"Call-ID: a84", "Call-ID: a\u00a084".encode()),
        (b"Call-ID: a84", "Call-ID: ä84".encode()),
        (b'"Alice"', '"Ålice \\" <"'.encode()),
        (b"314159 INVITE", b"314159 invite"),
        (b"314159 INVITE", b"4294967296 INVITE"),
        (b"SIP/2.0\r\nVia", b"sip/2.0\r\nVia"),
        (b"User-Agent: Callwright/0.1", b"User-Agent: \xff\xfe"),
        (b"Allow:", b"Allow :"),
        (b"Allow: INVITE,", b"Allow: INVITE,\r\n "),
    ],
)
def test_the_twins_agree_where_their_grammars_end(old: bytes, new: bytes) -> None:
    assert_same(changed(old, new))


def test_an_ordinary_message_is_read_in_one_step() -> None:
    assert NATIVE is not None
    assert pure.read_sound(INVITE, *MEASURES) is None
    read = NATIVE.read_sound(INVITE, *MEASURES)
    assert read is not None
    assert read[:3] == ("INVITE", 0, "sip:bob@biloxi.example.com")
    response = b"SIP/2.0 200 OK\r\n" + INVITE.partition(b"\r\n")[2]
    assert NATIVE.read_sound(response, *MEASURES)[:3] == (None, 200, "OK")


def test_names_that_strangers_make_up_do_not_fill_the_memory() -> None:
    for number in range(3000):
        assert_same(changed(b"User-Agent", b"X-%d" % number))


def test_the_environment_asks_for_the_pure_twin() -> None:
    code = "from callwright.sip import message; print(message.scan.__module__)"
    for asked, expected in (("1", "callwright.sip.scan"), ("", "callwright.sip._scan")):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "CALLWRIGHT_PURE": asked},
            capture_output=True,
            text=True,
            check=True,
        )
        assert ran.stdout.strip() == expected
