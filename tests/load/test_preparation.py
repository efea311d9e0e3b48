"""From wishes to messages and addresses: headers, families of addresses, transports."""

from __future__ import annotations

import pytest

from callwright.load.messages import Wording, answerer_messages, caller_messages
from callwright.load.preparation import CannotLoad, Wishes, loop_configs, transport_of
from callwright.sip.transport import Transport

LOCAL = {"local": "127.0.0.1:5070", "salt": 1}


def text_of(segments: object) -> str:
    return "".join(part.decode() for kind, part in segments if kind == "literal")  # type: ignore[attr-defined]


def test_a_header_of_the_user_stands_for_ours_and_an_empty_one_for_none() -> None:
    plain = text_of(caller_messages(Wording(**LOCAL))["invite"])  # type: ignore[arg-type]
    assert plain.count("User-Agent: Callwright\r\n") == plain.count("Allow: ") == 1
    headers = (("user-agent", "Mine/1"), ("Allow", ""), ("k", "path"), ("X-A", "1"), ("X-A", "2"))
    words = Wording(**LOCAL, headers=headers)  # type: ignore[arg-type]
    invite = text_of(caller_messages(words)["invite"])
    assert "user-agent: Mine/1\r\n" in invite
    assert "Callwright" not in invite
    assert "Allow:" not in invite
    assert "Supported:" not in invite
    assert "k: path\r\nX-A: 1\r\nX-A: 2\r\n" in invite
    assert "Allow:" not in text_of(answerer_messages(words)["ok"])


def test_a_dialled_hash_is_escaped() -> None:
    (config,), _ = loop_configs(Wishes(uri="sip:*31#5#@127.0.0.1:5080"))
    assert "INVITE sip:*31%235%23@127.0.0.1:5080 SIP/2.0\r\n" in text_of(config.messages["invite"])


@pytest.mark.parametrize(("uri", "version"), [("sip:x@[::1]:5080", 4), ("sip:x@127.0.0.1:5080", 6)])
def test_a_family_that_the_host_does_not_have_is_told(uri: str, version: int) -> None:
    with pytest.raises(CannotLoad, match=f"has no IPv{version} address"):
        loop_configs(Wishes(uri=uri, ip_version=version))


@pytest.mark.parametrize(
    ("uri", "wished", "found"),
    [
        ("sip:x@127.0.0.1", None, "UDP"),
        ("sip:x@127.0.0.1", "TCP", "TCP"),
        ("sip:x@127.0.0.1;transport=tcp", None, "TCP"),
        ("sip:x@127.0.0.1;transport=tcp", "TLS", "TLS"),
        ("sips:x@127.0.0.1", None, "TLS"),
        ("sip:x@127.0.0.1;transport=sctp", None, None),
        ("sip:x@127.0.0.1;transport=ws", None, None),
        ("sips:x@127.0.0.1", "TCP", None),
    ],
)
def test_the_transport_is_the_flags_else_the_uris(uri: str, wished: str | None, found: str | None) -> None:
    wishes = Wishes(uri=uri, transport=Transport(wished) if wished else None)
    if found is None:
        with pytest.raises(CannotLoad):
            transport_of(wishes)
    else:
        assert transport_of(wishes) is Transport(found)


@pytest.mark.parametrize("scheme", ["sip:x@192.0.2.1;transport=tcp", "sips:x@192.0.2.1"])
def test_a_stranger_is_called_by_no_transport(scheme: str) -> None:
    with pytest.raises(CannotLoad) as refused:
        loop_configs(Wishes(uri=scheme))
    assert refused.value.remedy is not None
