"""Who asks through a proxy: what is believed of whom."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from callwright.control.api.forwarded import LOOPBACK, Forwarded, networks_of


def seen(
    peer: str, *headers: tuple[str, str], proxies: tuple[str, ...] = ("127.0.0.1", "10.1.0.0/16", "::1")
) -> tuple[str, str]:
    """(client, scheme) of the application behind."""
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append((scope["client"][0], scope["scheme"]))

    scope = {
        "type": "http",
        "client": (peer, 40_000),
        "scheme": "http",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
    }
    asyncio.run(Forwarded(app, proxies)(scope, None, None))
    client, scheme = found[0]
    return client, scheme


def by(*values: str) -> list[tuple[str, str]]:
    return [("X-Forwarded-For", value) for value in values]


def test_a_known_proxy_is_believed_and_a_stranger_is_not() -> None:
    told = (*by("198.51.100.7"), ("X-Forwarded-Proto", "https"))
    assert seen("127.0.0.1", *told) == ("198.51.100.7", "https")
    assert seen("10.1.200.3", *told) == ("198.51.100.7", "https")
    assert seen("::ffff:127.0.0.1", *told) == ("198.51.100.7", "https")
    assert seen("192.0.2.1", *told) == ("192.0.2.1", "http")
    assert seen("127.0.0.2", *told) == ("127.0.0.2", "http")
    assert seen("127.0.0.2", *told, proxies=LOOPBACK) == ("198.51.100.7", "https")


@pytest.mark.parametrize(
    ("values", "client"),
    [
        (["203.0.113.9, 198.51.100.7"], "198.51.100.7"),  # the first is what the client said of itself
        (["203.0.113.9", "198.51.100.7, 10.1.0.9"], "198.51.100.7"),  # two headers, two proxies
        (["10.1.0.8, 10.1.0.9"], "10.1.0.8"),
        (["198.51.100.7:5000"], "198.51.100.7"),
        (["2001:db8::7"], "2001:db8::7"),
        (["[2001:db8::7]:5000"], "2001:db8::7"),
        (["::ffff:198.51.100.7"], "198.51.100.7"),
        (["unknown"], "127.0.0.1"),
        (["198.51.100.7, _hidden, 10.1.0.9"], "10.1.0.9"),
        (["", " , "], "127.0.0.1"),
        (["\xff\x00"], "127.0.0.1"),
    ],
)
def test_the_client_is_the_last_that_is_no_proxy(values: list[str], client: str) -> None:
    assert seen("127.0.0.1", *by(*values))[0] == client


def test_a_scheme_that_is_none_changes_nothing() -> None:
    assert seen("127.0.0.1", ("X-Forwarded-Proto", "gopher")) == ("127.0.0.1", "http")
    assert seen("127.0.0.1", ("X-Forwarded-Proto", "http, HTTPS")) == ("127.0.0.1", "https")
    assert seen("127.0.0.1") == ("127.0.0.1", "http")


def test_networks_that_are_none_are_named() -> None:
    with pytest.raises(ValueError, match=r"10\.0\.0\.300"):
        networks_of(["127.0.0.1", "10.0.0.300"])
