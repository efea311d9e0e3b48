"""The test vectors of the RFCs, and those that libsrtp ships for what the RFCs leave out."""

from __future__ import annotations

import pytest

from callwright.srtp.context import SrtpContext
from callwright.srtp.suite import SUITES, StreamKeys
from callwright.srtp.transform import SessionKeys, derive, transform
from callwright.srtp.transform import _Aead as Aead

MASTER_128 = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6")
MASTER_256 = bytes.fromhex(
    "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2"
)
PLAIN = bytes.fromhex("800f1234decafbadcafebabe") + b"\xab" * 16

GCM_SALT = bytes.fromhex("517569642070726f2071756f")
GCM_RTP = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
GCM_RTCP = bytes.fromhex(
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
)


def test_session_keys_are_those_of_rfc_3711_appendix_b_3() -> None:
    keys = derive(SUITES["AES_CM_128_HMAC_SHA1_80"], MASTER_128)
    assert keys.key.hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert keys.salt.hex() == "30cbbc08863d8c85d49db34a9ae1"
    assert keys.auth.hex() == "cebe321f6ff7716b6fd4ab49af256a156d38baa4"


def test_session_keys_are_those_of_rfc_6188_section_7_2() -> None:
    keys = derive(SUITES["AES_256_CM_HMAC_SHA1_80"], MASTER_256)
    assert keys.key.hex() == "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4"
    assert keys.salt.hex() == "fa31791685ca444a9e07c6c64e93"
    assert keys.auth.hex() == "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05"


@pytest.mark.parametrize(
    ("suite", "master", "sealed"),
    [
        ("AES_CM_128_HMAC_SHA1_80", MASTER_128, "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"),
        ("AES_256_CM_HMAC_SHA1_80", MASTER_256, "f1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b"),
    ],
)
def test_counter_mode_seals_the_reference_packets_of_libsrtp(suite: str, master: bytes, sealed: str) -> None:
    expected = PLAIN[:12] + bytes.fromhex(sealed)
    assert SrtpContext(StreamKeys(suite, master, master)).protect(PLAIN) == expected
    assert SrtpContext(StreamKeys(suite, master, master)).unprotect(expected) == PLAIN


@pytest.mark.parametrize("suite", ["AES_CM_128_HMAC_SHA1", "AES_256_CM_HMAC_SHA1"])
def test_a_short_tag_is_the_beginning_of_the_long_one(suite: str) -> None:
    master = MASTER_256 if "256" in suite else MASTER_128
    long, short = (transform(SUITES[f"{suite}_{bits}"], master).seal(PLAIN, 12, 0x1234) for bits in (80, 32))
    assert short == long[:-6]


def gcm(octets: int) -> Aead:
    """Of the session key of RFC 7714: its vectors begin below the derivation."""
    suite = SUITES[f"AEAD_AES_{8 * octets}_GCM"]
    keys = SessionKeys(bytes(range(octets)), GCM_SALT, b"")
    return Aead(suite, keys, keys)


@pytest.mark.parametrize(
    ("octets", "sealed"),
    [
        (
            16,
            (
                "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
                "899d7f27beb16a9152cf765ee4390cce"
            ),
        ),
        (
            32,
            (
                "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b"
                "7aa3db36dfffd6b0f9bb7878d7a76c13"
            ),
        ),
    ],
)
def test_gcm_seals_the_packet_of_rfc_7714_section_16(octets: int, sealed: str) -> None:
    expected = GCM_RTP[:12] + bytes.fromhex(sealed)
    assert gcm(octets).seal(GCM_RTP, 12, 0xF17B) == expected
    assert gcm(octets).open(expected, 12, 0xF17B) == GCM_RTP


@pytest.mark.parametrize(
    ("octets", "sealed"),
    [
        (
            16,
            (
                "63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa458"
                "96cf4d2fc5abf87245d9eade800005d4"
            ),
        ),
        (
            32,
            (
                "d50ae4d1f5ce5d304ba297e47d470c282c3ece5dbffe0a50a2eaa5c1110555be8415f658c61de0476f1b6fad1d1eb30c"
                "4446839f57ff6f6cb26ac3be800005d4"
            ),
        ),
    ],
)
def test_gcm_seals_the_report_of_rfc_7714_section_17(octets: int, sealed: str) -> None:
    expected = GCM_RTCP[:8] + bytes.fromhex(sealed)
    assert gcm(octets).seal_rtcp(GCM_RTCP, 0x5D4) == expected
    assert gcm(octets).open_rtcp(expected, 0x800005D4) == GCM_RTCP


def test_a_report_that_is_authenticated_but_not_encrypted_is_read() -> None:
    """RFC 7714 section 17.3."""
    sent = GCM_RTCP + bytes.fromhex("841dd9683dd78ec92ae58790125f62b3000005d4")
    assert gcm(16).open_rtcp(sent, 0x5D4) == GCM_RTCP
