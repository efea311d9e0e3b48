from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from callwright.net.entropy import seeded_entropy
from callwright.net.resolver import (
    HopTarget,
    ResolutionFailed,
    ServiceRecord,
    SystemNames,
    interleaved,
    order_services,
    resolve,
)
from callwright.sip.transport import Address, Transport

UDP, TCP, TLS = Transport.UDP, Transport.TCP, Transport.TLS


class Zone:
    """A name service from two tables; it notes what it was asked."""

    def __init__(
        self,
        addresses: dict[str, list[str]] | None = None,
        services: dict[str, list[ServiceRecord]] | None = None,
    ) -> None:
        self._addresses = addresses or {}
        self._services = services or {}
        self.asked: list[str] = []

    async def addresses(self, host: str) -> list[str]:
        self.asked.append(host)
        if host not in self._addresses:
            raise ResolutionFailed(host, f"the host {host} does not exist")
        return self._addresses[host]

    async def services(self, name: str) -> list[ServiceRecord]:
        self.asked.append(name)
        return self._services.get(name, [])


def target(transport: Transport, host: str, port: int) -> HopTarget:
    return HopTarget(transport, Address(host, port))


@pytest.mark.parametrize(
    ("host", "port", "transport", "scheme", "expected"),
    [
        ("192.0.2.1", None, None, "sip", target(UDP, "192.0.2.1", 5060)),
        ("192.0.2.1", 5080, TCP, "sip", target(TCP, "192.0.2.1", 5080)),
        ("192.0.2.1", None, TLS, "sip", target(TLS, "192.0.2.1", 5061)),
        ("192.0.2.1", None, None, "sips", target(TLS, "192.0.2.1", 5061)),
        ("192.0.2.1", None, TCP, "sips", target(TLS, "192.0.2.1", 5061)),
        ("[2001:DB8::1]", None, None, "sip", target(UDP, "2001:db8::1", 5060)),
        ("::ffff:192.0.2.1", None, None, "sip", target(UDP, "192.0.2.1", 5060)),
    ],
)
async def test_a_numeric_host_is_asked_of_nobody(
    host: str, port: int | None, transport: Transport | None, scheme: str, expected: HopTarget
) -> None:
    zone = Zone()
    assert await resolve(host, port, transport, scheme, names=zone) == [expected]
    assert zone.asked == []


async def test_an_explicit_port_means_addresses_only() -> None:
    zone = Zone({"pbx.example": ["2001:db8::1", "192.0.2.1"]}, {"_sip._udp.pbx.example": []})
    found = await resolve("pbx.example", 5070, None, "sip", names=zone)
    assert found == [target(UDP, "2001:db8::1", 5070), target(UDP, "192.0.2.1", 5070)]
    assert zone.asked == ["pbx.example"]


async def test_services_are_tried_by_priority_and_each_target_at_all_its_addresses() -> None:
    zone = Zone(
        {"a.example": ["192.0.2.1"], "b.example": ["192.0.2.2", "2001:db8::2"]},
        {
            "_sip._udp.pbx.example": [
                ServiceRecord(20, 0, 5080, "a.example"),
                ServiceRecord(10, 0, 5090, "b.example"),
            ]
        },
    )
    assert await resolve("pbx.example", None, UDP, "sip", names=zone) == [
        target(UDP, "192.0.2.2", 5090),
        target(UDP, "2001:db8::2", 5090),
        target(UDP, "192.0.2.1", 5080),
    ]


async def test_services_decide_the_transport_when_nobody_says() -> None:
    zone = Zone(
        {"a.example": ["192.0.2.1"]},
        {
            "_sip._tcp.pbx.example": [ServiceRecord(1, 0, 5060, "a.example")],
            "_sips._tcp.pbx.example": [ServiceRecord(1, 0, 5061, "a.example")],
        },
    )
    found = await resolve("pbx.example", None, None, "sip", names=zone)
    assert found == [target(TCP, "192.0.2.1", 5060), target(TLS, "192.0.2.1", 5061)]
    assert await resolve("pbx.example", None, None, "sips", names=zone) == [target(TLS, "192.0.2.1", 5061)]


async def test_a_domain_without_services_is_a_host() -> None:
    zone = Zone({"pbx.example": ["192.0.2.1"]})
    assert await resolve("pbx.example", None, None, "sip", names=zone) == [target(UDP, "192.0.2.1", 5060)]
    assert await resolve("pbx.example", None, TLS, "sip", names=zone) == [target(TLS, "192.0.2.1", 5061)]


@pytest.mark.parametrize("host", ["localhost", "pbx", "phone.local"])
async def test_a_single_label_is_a_host_and_not_a_domain(host: str) -> None:
    zone = Zone({host: ["127.0.0.1"]})
    assert await resolve(host, None, None, "sip", names=zone) == [target(UDP, "127.0.0.1", 5060)]
    assert zone.asked == [host]


async def test_a_host_that_does_not_exist_is_named() -> None:
    with pytest.raises(ResolutionFailed, match=r"pbx\.example does not exist") as caught:
        await resolve("pbx.example", None, None, "sip", names=Zone())
    assert caught.value.host == "pbx.example"


async def test_a_service_that_points_nowhere_says_who_pointed() -> None:
    zone = Zone(services={"_sip._udp.pbx.example": [ServiceRecord(1, 0, 5060, "gone.example")]})
    with pytest.raises(ResolutionFailed, match=r"pbx\.example points to gone\.example"):
        await resolve("pbx.example", None, UDP, "sip", names=zone)


async def test_a_domain_that_decidedly_offers_no_sip_is_believed() -> None:
    zone = Zone({"pbx.example": ["192.0.2.1"]}, {"_sip._udp.pbx.example": [ServiceRecord(0, 0, 0, ".")]})
    with pytest.raises(ResolutionFailed, match="offers no SIP over UDP"):
        await resolve("pbx.example", None, UDP, "sip", names=zone)


async def test_a_hundred_services_do_not_mean_a_hundred_targets() -> None:
    records = [ServiceRecord(1, 1, 5060, "a.example") for _ in range(100)]
    zone = Zone({"a.example": ["192.0.2.1"]}, {"_sip._udp.pbx.example": records})
    assert len(await resolve("pbx.example", None, UDP, "sip", names=zone)) <= 16


def test_within_a_priority_the_weight_decides_how_often_one_is_first() -> None:
    records = [ServiceRecord(1, 75, 5060, "heavy"), ServiceRecord(1, 25, 5060, "light")]
    entropy = seeded_entropy(1)
    first = Counter(order_services(records, entropy)[0].target for _ in range(4000))
    assert first["heavy"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_every_service_is_in_the_order_once_whatever_its_weight() -> None:
    records = [ServiceRecord(p, w, 5060, f"{p}-{w}") for p in (2, 1) for w in (0, 0, 5, 65_535)]
    ordered = order_services(records, seeded_entropy(2))
    assert sorted(ordered) == sorted(records)
    assert [record.priority for record in ordered] == [1] * 4 + [2] * 4


# The system's own


async def test_names_of_the_hosts_file_are_found() -> None:
    assert "127.0.0.1" in await SystemNames().addresses("localhost")


async def test_a_name_that_cannot_exist_is_told_in_time() -> None:
    begun = asyncio.get_running_loop().time()
    with pytest.raises(ResolutionFailed, match=r"no-such-host\.invalid"):
        await SystemNames().addresses("no-such-host.invalid")
    assert asyncio.get_running_loop().time() - begun < 2.5


async def test_a_host_that_is_no_name_at_all_is_refused() -> None:
    with pytest.raises(ResolutionFailed, match="not a host name"):
        await SystemNames().addresses("a" * 300 + ".example")


def test_two_ip_versions_are_tried_by_turns() -> None:
    def target(host: str, port: int = 5060) -> HopTarget:
        return HopTarget(Transport.TCP, Address(host, port))

    six, four = [target(f"2001:db8::{n}") for n in range(3)], [target(f"192.0.2.{n}") for n in range(2)]
    other = target("192.0.2.9", 5070)
    assert interleaved([*six, *four, other]) == [six[0], four[0], six[1], four[1], six[2], other]
    assert interleaved([*four, *six])[:3] == [four[0], six[0], four[1]]
    assert interleaved([]) == []
