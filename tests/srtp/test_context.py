"""SRTP between two contexts, against libsrtp, and against whoever replays, changes or forges packets."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

import pylibsrtp
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callwright.srtp.context import SrtpContext
from callwright.srtp.suite import SUITES, StreamKeys
from tests.kit.examples import examples

CM = "AES_CM_128_HMAC_SHA1_80"
PROFILES = {
    CM: pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_128_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    "AEAD_AES_256_GCM": pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
"""What pylibsrtp gives of libsrtp; AES-256 in counter mode it does not."""
REPORT = bytes.fromhex("80c9000100000007") + bytes.fromhex("81ca0003000000070105616c696365000000")[:16]


def packet(sequence: int, *, ssrc: int = 7, first: int = 0x80, more: bytes = b"") -> bytes:
    head = struct.pack("!BBHII", first, 0, sequence & 0xFFFF, 160 * sequence & 0xFFFFFFFF, ssrc)
    return head + more + random.Random(sequence).randbytes(160)


def key(suite: str, seed: int) -> bytes:
    return random.Random(seed).randbytes(SUITES[suite].master)


def ends(suite: str = CM, seed: int = 1) -> tuple[SrtpContext, SrtpContext]:
    one, other = key(suite, seed), key(suite, seed + 1)
    return SrtpContext(StreamKeys(suite, one, other)), SrtpContext(StreamKeys(suite, other, one))


def judge(suite: str, master: bytes, kind: int) -> pylibsrtp.Session:
    return pylibsrtp.Session(pylibsrtp.Policy(master, kind, 0, PROFILES[suite]))


EVERY = pytest.mark.parametrize("suite", SUITES)
SHAPES = [
    packet(1),
    packet(2, first=0x82, more=bytes(8)),  # two CSRCs
    packet(3, first=0x90, more=struct.pack("!HH", 0xBEDE, 2) + bytes(8)),  # an extension
    packet(4)[:12],  # no payload
]


@EVERY
@pytest.mark.parametrize("plain", SHAPES)
def test_what_one_end_protects_the_other_opens(suite: str, plain: bytes) -> None:
    here, there = ends(suite)
    sealed = here.protect(plain)
    assert len(sealed) == len(plain) + SUITES[suite].tag
    assert plain[12:] == b"" or plain[12:] not in sealed
    assert there.unprotect(sealed) == plain
    report = here.protect_rtcp(REPORT)
    assert len(report) == len(REPORT) + 4 + SUITES[suite].rtcp_tag
    assert there.unprotect_rtcp(report) == REPORT
    assert there.report().received == 2


@pytest.mark.parametrize("suite", PROFILES)
@pytest.mark.parametrize("plain", SHAPES)
def test_libsrtp_opens_what_we_protect_and_we_what_libsrtp_protects(suite: str, plain: bytes) -> None:
    master = key(suite, 3)
    ours = SrtpContext(StreamKeys(suite, master, master))
    theirs = judge(suite, master, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    assert theirs.unprotect(ours.protect(plain)) == plain
    assert theirs.unprotect_rtcp(ours.protect_rtcp(REPORT)) == REPORT
    theirs = judge(suite, master, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    assert ours.unprotect(theirs.protect(plain)) == plain
    assert ours.unprotect_rtcp(theirs.protect_rtcp(REPORT)) == REPORT


@pytest.mark.parametrize("suite", [CM, "AEAD_AES_128_GCM"])
def test_a_stream_goes_on_over_the_end_of_its_numbers_as_libsrtp_has_it(suite: str) -> None:
    master = key(suite, 3)
    ours = SrtpContext(StreamKeys(suite, master, master))
    theirs = judge(suite, master, pylibsrtp.Policy.SSRC_ANY_INBOUND)
    back = SrtpContext(StreamKeys(suite, master, master))
    for sequence in range(65_500, 65_600):
        plain = packet(sequence)
        sealed = ours.protect(plain)
        assert theirs.unprotect(sealed) == plain
        assert back.unprotect(sealed) == plain


def test_packets_that_were_taken_back_are_protected_anew_under_the_same_numbers() -> None:
    here, there = ends()
    for sequence in range(65_530, 65_540):
        here.protect(packet(sequence))
    again = here.protect(packet(65_533))
    assert there.unprotect(here.protect(packet(65_529))) is not None
    assert there.unprotect(again) == packet(65_533)


@EVERY
def test_a_replay_is_counted_and_dropped(suite: str) -> None:
    here, there = ends(suite)
    sealed, report = here.protect(packet(1)), here.protect_rtcp(REPORT)
    assert [there.unprotect(sealed) is None for _ in range(3)] == [False, True, True]
    assert [there.unprotect_rtcp(report) is None for _ in range(2)] == [False, True]
    assert (there.report().replayed, there.report().auth_failures) == (3, 0)


def test_late_packets_are_taken_once_while_they_are_in_the_window() -> None:
    here, there = ends()
    sealed = [here.protect(packet(sequence)) for sequence in range(300)]
    order = [*range(0, 300, 2), *range(299, 100, -2)]
    opened = [there.unprotect(sealed[at]) is not None for at in order]
    kept = [at for at, taken in zip(order, opened, strict=True) if taken]
    assert kept == [*range(0, 300, 2), *range(299, 171, -2)], "128 numbers, the newest of them 299"
    assert there.report().replayed == len(order) - len(kept)


@EVERY
def test_a_changed_octet_anywhere_is_an_authentication_failure(suite: str) -> None:
    here, there = ends(suite)
    there.unprotect(here.protect(packet(0)))
    sealed, report = here.protect(packet(1)), here.protect_rtcp(REPORT)
    places = range(4, len(sealed))  # before: another header or another number
    for place in places:
        changed = bytearray(sealed)
        changed[place] ^= 1
        assert there.unprotect(bytes(changed)) is None
    for place in range(4, len(report)):
        changed = bytearray(report)
        changed[place] ^= 1
        assert there.unprotect_rtcp(bytes(changed)) is None
    assert there.report().auth_failures == len(places) + len(report) - 4
    assert there.unprotect(sealed) == packet(1), "a forgery takes nobody's number"
    assert there.unprotect_rtcp(report) == REPORT


@EVERY
def test_plain_rtp_is_not_taken(suite: str) -> None:
    _, there = ends(suite)
    assert there.unprotect(packet(1)) is None
    assert there.report().auth_failures == 1


def test_another_key_opens_nothing() -> None:
    here, _ = ends(seed=1)
    _, there = ends(seed=5)
    assert there.unprotect_all([(here.protect(packet(n)), ("192.0.2.1", 4000), 0.0) for n in range(5)]) == []
    assert there.report().auth_failures == 5


# -- new keys


def turned(context: SrtpContext, *, send: int | None = None, receive: int | None = None) -> None:
    keys = context.keys
    context.rekey(
        StreamKeys(
            keys.suite,
            keys.send if send is None else key(keys.suite, send),
            keys.receive if receive is None else key(keys.suite, receive),
        )
    )


def test_after_new_keys_the_rollover_counter_goes_on() -> None:
    here, there = ends()
    for sequence in range(65_530, 65_540):
        assert there.unprotect(here.protect(packet(sequence)))
    turned(here, send=50)
    turned(there, receive=50)
    for sequence in range(65_540, 65_700):
        assert there.unprotect(here.protect(packet(sequence))) == packet(sequence)
    assert there.report().rekeyed == 1
    assert there.report().auth_failures == 0


def test_a_peer_whose_rollover_counter_began_anew_with_its_key_is_understood() -> None:
    here, there = ends()
    for sequence in range(65_530, 65_540):
        assert there.unprotect(here.protect(packet(sequence)))
    turned(there, receive=50)
    anew = SrtpContext(StreamKeys(CM, key(CM, 50), here.keys.receive))
    for sequence in range(65_540, 65_700):
        assert there.unprotect(anew.protect(packet(sequence))) == packet(sequence)


def test_packets_under_the_old_key_are_heard_until_the_new_one_is_in_use() -> None:
    here, there = ends()
    late = [here.protect(packet(sequence)) for sequence in range(4)]
    assert there.unprotect(late[0])
    turned(here, send=50)
    turned(there, receive=50)
    assert there.unprotect(late[1]) == packet(1)
    for sequence in range(4, 20):
        assert there.unprotect(here.protect(packet(sequence)))
    assert there.unprotect(late[2]) == packet(2)
    for sequence in range(20, 100):
        assert there.unprotect(here.protect(packet(sequence)))
    assert there.unprotect(late[3]) is None
    assert there.unprotect(late[1]) is None


def test_a_side_whose_key_stays_goes_on_with_its_numbers() -> None:
    here, there = ends()
    first = here.protect_rtcp(REPORT)
    assert there.unprotect_rtcp(first)
    turned(here, receive=50)
    turned(there, send=50)
    assert there.unprotect_rtcp(here.protect_rtcp(REPORT)) == REPORT
    assert here.unprotect(there.protect(packet(1))) == packet(1)
    assert there.unprotect_rtcp(first) is None


def test_another_suite_may_come_with_the_new_keys() -> None:
    here, there = ends()
    assert there.unprotect(here.protect(packet(1)))
    gcm = "AEAD_AES_256_GCM"
    here.rekey(StreamKeys(gcm, key(gcm, 8), key(gcm, 9)))
    there.rekey(StreamKeys(gcm, key(gcm, 9), key(gcm, 8)))
    for sequence in range(2, 80):
        assert there.unprotect(here.protect(packet(sequence))) == packet(sequence)
    assert there.report().suite == gcm


# -- hostile


@EVERY
@settings(max_examples=examples(60))
@given(data=st.lists(st.binary(max_size=60), max_size=20), twice=st.booleans())
def test_any_octets_are_counted_and_never_raise(suite: str, data: list[bytes], twice: bool) -> None:
    _, there = ends(suite)
    if twice:
        turned(there, receive=50)
    for octets in data:
        assert there.unprotect(octets) is None
        assert there.unprotect_rtcp(octets) is None
    report = there.report()
    assert report.auth_failures + report.malformed == 2 * len(data)
    assert report.received == 0


@settings(max_examples=examples(40))
@given(
    start=st.integers(0, 65_535),
    drops=st.sets(st.integers(0, 299), max_size=120),
    swaps=st.lists(st.integers(0, 298), max_size=40),
)
def test_each_packet_that_arrives_is_opened_once_whatever_the_wire_does(
    start: int, drops: set[int], swaps: list[int]
) -> None:
    here, there = ends()
    sent = [(start + n, here.protect(packet(start + n))) for n in range(300)]
    for at in swaps:
        sent[at], sent[at + 1] = sent[at + 1], sent[at]
    arrived = [sent[0], *(one for at, one in enumerate(sent[1:], 1) if at not in drops)]
    if arrived[0][0] != start:
        arrived.sort(key=lambda one: one[0])
    for number, sealed in arrived:
        assert there.unprotect(sealed) == packet(number)
    assert there.report().auth_failures == there.report().replayed == 0


def test_sources_that_hold_the_key_are_bounded() -> None:
    here, there = ends()
    for ssrc in range(100):
        assert there.unprotect(here.protect(packet(1, ssrc=ssrc)))
    assert there.unprotect(here.protect(packet(2, ssrc=99)))


def test_keys_show_in_no_text() -> None:
    master = key(CM, 1)
    said: Callable[[object], str] = repr
    keys = StreamKeys(CM, master, master)
    assert master.hex() not in said(keys)
    assert str(master) not in said(keys)
    with pytest.raises(ValueError, match="30 octets, not 29"):
        StreamKeys(CM, master[:-1], master)
