"""The flags of DTLS and ICE, and what is wrong with them."""

from __future__ import annotations

import pytest

from callwright.cli.softphone import ice_hosts, ice_wish, srtp_wish
from callwright.host.operator import Refused
from callwright.ice.wish import IceWish, Server


def test_servers_are_read_and_their_hosts_are_typed() -> None:
    wish = ice_wish("on", "stun.example.com", "turn:mara:s3cret@[2001:db8::7]:5349", False)
    assert wish.stun == Server("stun.example.com", 3478)
    assert wish.turn == Server("2001:db8::7", 5349, "mara", "s3cret")
    assert ice_hosts(wish) == ("stun.example.com", "2001:db8::7")
    assert "s3cret" not in repr(wish)


def test_a_server_in_the_environment_is_left_alone_without_ice() -> None:
    assert ice_wish("off", None, "mara:s3cret@turn.example.com", False) == IceWish()


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (("maybe", None, None, False), "--ice is off, on or lite"),
        (("off", "stun.example.com", None, False), "--stun needs --ice on"),
        (("on", None, None, True), "--relay-only needs --turn"),
        (("on", "stun.example.com:0", None, False), "--stun"),
        (("on", "stun.example.com:70000", None, False), "--stun"),
        (("on", None, "s3cret", False), "USER:PASSWORD@HOST"),
        (("on", None, "mara:s3cret@", False), "--turn"),
    ],
)
def test_what_is_wrong_with_the_flags_is_told_without_the_password(
    given: tuple[str, str | None, str | None, bool], why: str
) -> None:
    with pytest.raises(Refused) as refused:
        ice_wish(*given)
    assert why in str(refused.value)
    assert "s3cret" not in str(refused.value)


def test_a_handshake_agrees_on_its_own_suites_and_keeps_its_keys() -> None:
    assert srtp_wish("dtls", ("aead_aes_128_gcm",), None).suites == ("AEAD_AES_128_GCM",)
    for suites, rekey in ((("AES_256_CM_HMAC_SHA1_80",), None), ((), 2.0)):
        with pytest.raises(Refused):
            srtp_wish("dtls", suites, rekey)
