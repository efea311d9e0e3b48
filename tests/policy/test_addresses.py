"""Addresses as the policy reads them, at the edges of each range."""

from __future__ import annotations

import pytest

from callwright.policy.addresses import bare, impossible, is_inside, is_private, is_shared, numeric


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("64:ff9b::203.0.113.7", "203.0.113.7"),
        ("64:ff9b:0:1::", "64:ff9b:0:1::"),
        ("::203.0.113.7", "203.0.113.7"),
        ("::1:0", "0.1.0.0"),
        ("::ffff", "::ffff"),
        ("::1", "::1"),
        ("::", "::"),
        ("::1:0:0:0", "::1:0:0:0"),
        ("2001:db8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("pbx.example.com", "None"),
        ("", "None"),
    ],
)
def test_ipv4_address_in_an_ipv6_one_is_unwrapped(text: str, means: str) -> None:
    assert str(numeric(text)) == means


def test_brackets_of_a_uri_are_no_part_of_the_address() -> None:
    assert bare(" [2001:db8::1] ") == "2001:db8::1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0.0.0.0", "the unspecified address"),
        ("::", "the unspecified address"),
        ("0.0.0.1", "an address of no host (0.0.0.0/8)"),
        ("0.255.255.255", "an address of no host (0.0.0.0/8)"),
        ("1.0.0.0", None),
        ("223.255.255.255", None),
        ("224.0.0.0", "a multicast address"),
        ("239.255.255.255", "a multicast address"),
        ("240.0.0.0", "a reserved address"),
        ("255.255.255.254", "a reserved address"),
        ("255.255.255.255", "the broadcast address"),
        ("ff00::1", "a multicast address"),
        ("f000::1", None),
        ("::1", None),
    ],
)
def test_address_that_nobody_may_reach_is_named(text: str, reason: str | None) -> None:
    address = numeric(text)
    assert address is not None
    assert impossible(address) == reason


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("10.0.0.0", "10.255.255.255"),
        ("172.16.0.0", "172.31.255.255"),
        ("192.168.0.0", "192.168.255.255"),
        ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("100.64.0.0", "100.127.255.255"),
        ("127.0.0.0", "127.255.255.255"),
        ("::1", "::1"),
        ("169.254.0.0", "169.254.255.255"),
        ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("192.0.0.0", "192.0.0.255"),
        ("198.18.0.0", "198.19.255.255"),
        ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
        ("2002:a00::", "2002:aff:ffff:ffff:ffff:ffff:ffff:ffff"),  # 10.0.0.0/8 by 6to4
        ("2002:7f00:1::", "2002:7f00:1:ffff:ffff:ffff:ffff:ffff"),
    ],
)
def test_range_that_only_a_machine_inside_reaches_ends_at_its_edges(first: str, last: str) -> None:
    low, high = numeric(first), numeric(last)
    assert low is not None
    assert high is not None
    assert is_inside(low)
    assert is_inside(high)
    private = first.startswith(("10.", "172.", "192.168.", "fc00"))
    assert (is_private(low), is_private(high)) == (private, private)
    shared = first.startswith("100.64")
    assert (is_shared(low), is_shared(high)) == (shared, shared)


@pytest.mark.parametrize(
    "text",
    [
        *("9.255.255.255", "11.0.0.0", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0"),
        *("100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0"),
        *("191.255.255.255", "192.0.1.0", "198.17.255.255", "198.20.0.0", "203.0.113.7"),
        *("fbff::1", "fe00::1", "fe7f::1", "64:ff9b:2::", "2001:db8::1", "2002:cb00:7107::1", "::2"),
    ],
)
def test_address_beside_those_ranges_is_outside(text: str) -> None:
    address = numeric(text)
    assert address is not None
    assert not is_inside(address)
    assert not is_private(address)
    assert not is_shared(address)
