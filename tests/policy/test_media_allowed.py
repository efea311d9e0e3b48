from __future__ import annotations

import pytest

from callwright.policy.destination import (
    Decision,
    Destination,
    Ground,
    Purpose,
    Rules,
    decide,
    parse_allow,
)
from callwright.policy.following import contact_allowed, media_allowed
from callwright.policy.remedy import Remedy, RemedyKind

PUBLIC_PEER, ITS_MEDIA = "198.51.100.7", "203.0.113.20"


def ask(
    address: str,
    *,
    peer: str = PUBLIC_PEER,
    port: int = 4000,
    rules: Rules | None = None,
    purpose: Purpose = Purpose.CALL,
    typed: bool = True,
) -> Decision:
    rules = rules or Rules()
    called = Rules(typed=(peer,), targets=rules.targets) if typed else rules
    signalling = decide(purpose, Destination(peer), called)
    return media_allowed(address, port, peer=peer, purpose=purpose, rules=rules, signalling=signalling)


@pytest.mark.parametrize(
    ("address", "peer", "allowed"),
    [
        (PUBLIC_PEER, PUBLIC_PEER, True),
        (ITS_MEDIA, PUBLIC_PEER, True),
        ("192.168.1.20", PUBLIC_PEER, True),
        ("127.0.0.1", PUBLIC_PEER, False),
        ("::1", PUBLIC_PEER, False),
        ("::ffff:127.0.0.1", PUBLIC_PEER, False),
        ("64:ff9b::7f00:1", PUBLIC_PEER, False),
        ("127.0.0.1", "192.168.1.9", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.2", "127.0.0.1", True),
        ("192.168.1.20", "127.0.0.1", True),
        ("192.168.1.20", "192.168.1.9", True),
        ("169.254.169.254", PUBLIC_PEER, False),
        ("fe80::5", "fe80::9", True),
        ("192.0.0.192", PUBLIC_PEER, False),
        ("198.18.0.9", PUBLIC_PEER, False),
        ("198.19.255.1", PUBLIC_PEER, False),
        ("::ffff:198.18.0.9", PUBLIC_PEER, False),
        ("fec0::5", PUBLIC_PEER, False),
        ("64:ff9b:1::a00:1", PUBLIC_PEER, False),
        ("2002:c0a8:101::1", PUBLIC_PEER, False),
        ("192.0.0.192", "198.18.0.1", False),
        ("198.18.0.9", "198.18.0.1", True),
        ("2002:c633:6407::1", PUBLIC_PEER, True),
        ("0.0.0.0", PUBLIC_PEER, False),
        ("::", PUBLIC_PEER, False),
        ("255.255.255.255", PUBLIC_PEER, False),
        ("224.2.1.1", "192.168.1.9", False),
        ("ff02::1", "fe80::9", False),
        ("media.example.com", PUBLIC_PEER, False),
    ],
)
def test_media_of_a_typed_call(address: str, peer: str, allowed: bool) -> None:
    decision = ask(address, peer=peer)
    assert decision.allowed is allowed
    assert decision.reason.endswith(".")


@pytest.mark.parametrize("purpose", [Purpose.RUN, Purpose.LOAD, Purpose.OPTIONS])
def test_only_a_call_that_a_person_typed_is_sent_anywhere(purpose: Purpose) -> None:
    rules = Rules(targets=(parse_allow(PUBLIC_PEER),))
    assert ask(PUBLIC_PEER, purpose=purpose, rules=rules).allowed
    refused = ask(ITS_MEDIA, purpose=purpose, rules=rules)
    assert not refused.allowed
    assert refused.remedy == permit(ITS_MEDIA)
    both = Rules(targets=(parse_allow(PUBLIC_PEER), parse_allow("203.0.113.0/24")))
    assert ask(ITS_MEDIA, purpose=purpose, rules=both).allowed


def test_a_caller_cannot_send_us_to_a_third_party() -> None:
    rules = Rules()
    for peer in (PUBLIC_PEER, "192.168.1.9", "127.0.0.1"):
        decision = media_allowed(ITS_MEDIA, 4000, peer=peer, purpose=Purpose.CALL, rules=rules)
        assert not decision.allowed
    assert media_allowed(PUBLIC_PEER, 4000, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=rules).allowed


@pytest.mark.parametrize("port", [-1, 0, 53, 1023, 65536])
def test_media_goes_to_no_port_of_a_service(port: int) -> None:
    assert not ask(PUBLIC_PEER, port=port).allowed


def permit(place: str) -> Remedy:
    return Remedy(RemedyKind.PERMIT_PLACE, place)


def called(address: str, rules: Rules, port: int = 4000, peer: str = PUBLIC_PEER) -> Decision:
    """A call that came in from somebody whom we did not call."""
    return media_allowed(address, port, peer=peer, purpose=Purpose.CALL, rules=rules)


def test_media_of_a_caller_goes_where_the_rule_for_callers_permits_it() -> None:
    rules = Rules(media=(parse_allow("203.0.113.0/24"), parse_allow("2001:db8::/32")))
    assert called(ITS_MEDIA, rules).allowed
    assert called(f"::ffff:{ITS_MEDIA}", rules).allowed
    assert called("2001:db8::7", rules, peer="2001:db9::1").allowed
    refused = called("198.51.100.99", rules)
    assert (refused.allowed, refused.remedy) == (False, permit("198.51.100.99"))
    assert not called(ITS_MEDIA, rules, port=1023).allowed
    everywhere = Rules(media=(parse_allow("0.0.0.0/0"), parse_allow("::/0")))
    for nobody in ("224.0.1.75", "255.255.255.255", "0.0.0.0", "ff02::1"):
        assert not called(nobody, everywhere).allowed


def test_rule_for_media_of_callers_permits_no_requests() -> None:
    rules = Rules(media=(parse_allow("203.0.113.0/24"),))
    asked = contact_allowed(ITS_MEDIA, 5060, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=rules)
    assert not asked.allowed
    assert not decide(Purpose.CALL, Destination(ITS_MEDIA), rules).allowed


def test_two_addresses_of_this_machine_may_speak() -> None:
    rules = Rules(local=("192.168.1.9",), own=(("192.168.1.10", 5060),))
    assert ask("127.0.0.1", peer="192.168.1.9", rules=rules, typed=False).allowed
    assert ask("127.0.0.1", peer="192.168.1.10", rules=rules, typed=False).allowed
    assert not ask("127.0.0.1", peer="192.168.1.11", rules=rules, typed=False).allowed


def test_where_strangers_give_the_orders_this_machine_is_no_peers_to_give() -> None:
    """Our own PBX passes on what others say: it leads to itself, and to no other address of loopback."""
    rules = Rules(own=(("127.0.0.1", 5070),), embedded=False)
    assert ask("127.0.0.1", peer="127.0.0.1", rules=rules, typed=False, purpose=Purpose.RUN).allowed
    assert not ask("127.0.0.2", peer="127.0.0.1", rules=rules, typed=False, purpose=Purpose.RUN).allowed
    for peer in (PUBLIC_PEER, "10.0.0.1", "169.254.1.1", "100.64.0.1"):
        assert not ask("127.0.0.1", peer=peer, rules=rules, typed=False, purpose=Purpose.RUN).allowed


@pytest.mark.parametrize(
    ("address", "peer", "embedded", "allowed"),
    [
        ("169.254.169.254", "127.0.0.1", True, False),
        ("169.254.169.254", "10.0.0.1", True, False),
        ("169.254.7.7", "169.254.1.1", True, True),
        ("169.254.7.7", "169.254.1.1", False, False),
        ("fe80::5", "fe80::9", False, False),
        ("100.64.0.9", PUBLIC_PEER, True, False),
        ("100.64.0.9", "10.0.0.1", True, False),
        ("100.64.0.9", "127.0.0.1", True, False),
        ("100.64.0.9", "100.64.0.7", True, True),
        ("100.64.0.9", "100.64.0.7", False, False),
    ],
)
def test_link_local_and_carrier_grade_nat_space_are_led_to_from_within_alone(
    address: str, peer: str, embedded: bool, allowed: bool
) -> None:
    """A typed call from within the same space; where strangers give the orders a network has to permit it."""
    rules = Rules(embedded=embedded)
    purpose = Purpose.CALL if embedded else Purpose.RUN
    signalling = decide(purpose, Destination(peer), Rules(typed=(peer,)))
    for led in (media_allowed, contact_allowed):
        told = led(address, 5060, peer=peer, purpose=purpose, rules=rules, signalling=signalling)
        assert told.allowed is allowed, told
        named = Rules(embedded=embedded, targets=(parse_allow(address),))
        assert led(address, 5060, peer=peer, purpose=purpose, rules=named, signalling=signalling).allowed


def test_where_strangers_give_the_orders_a_public_peer_does_not_lead_inside() -> None:
    rules = Rules(embedded=False)
    assert not ask("10.0.0.1", rules=rules).allowed
    assert ask("10.0.0.1", rules=Rules(embedded=False, targets=(parse_allow("10.0.0.0/8"),))).allowed


@pytest.mark.parametrize(
    ("address", "port", "allowed"),
    [
        (PUBLIC_PEER, 5060, True),
        (ITS_MEDIA, 5060, True),
        (ITS_MEDIA, 443, True),
        (ITS_MEDIA, 0, False),
        ("127.0.0.1", 5060, False),
        ("224.0.1.75", 5060, False),
        ("169.254.169.254", 80, False),
    ],
)
def test_a_contact_of_a_typed_call(address: str, port: int, allowed: bool) -> None:
    signalling = decide(Purpose.CALL, Destination(PUBLIC_PEER), Rules(typed=(PUBLIC_PEER,)))
    decision = contact_allowed(
        address, port, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=Rules(), signalling=signalling
    )
    assert decision.allowed is allowed


def test_a_caller_cannot_send_our_requests_to_a_third_party() -> None:
    decision = contact_allowed(ITS_MEDIA, 5060, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=Rules())
    assert decision.reason == (
        f"The peer {PUBLIC_PEER} wants requests at {ITS_MEDIA}: neither the peer itself nor permitted."
    )


# -- to the letter

CALLED = decide(Purpose.CALL, Destination(PUBLIC_PEER), Rules(typed=(PUBLIC_PEER,)))
CALLEE_SAYS = f"The peer {PUBLIC_PEER} wants media at"


def led(address: str, rules: Rules | None = None, *, peer: str = PUBLIC_PEER, name: str = "") -> Decision:
    """A request of a typed call."""
    return contact_allowed(
        address, 5060, peer=peer, purpose=Purpose.CALL, rules=rules or Rules(), signalling=CALLED, name=name
    )


@pytest.mark.parametrize(("port", "allowed"), [(1023, False), (1024, True), (65535, True), (65536, False)])
def test_media_goes_to_ports_from_1024(port: int, allowed: bool) -> None:
    decision = ask(PUBLIC_PEER, port=port)
    assert decision.allowed is allowed
    if not allowed:
        assert decision.reason == (f"The peer wants media at port {port}; media goes to ports 1024 to 65535.")


@pytest.mark.parametrize(("port", "allowed"), [(0, False), (1, True), (65535, True), (65536, False)])
def test_requests_go_to_any_port_that_exists(port: int, allowed: bool) -> None:
    decision = contact_allowed(PUBLIC_PEER, port, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=Rules())
    assert decision.allowed is allowed
    if not allowed:
        assert decision.reason == f"The peer wants requests at port {port}, which does not exist."


@pytest.mark.parametrize(
    ("address", "peer", "rules", "ground", "reason"),
    [
        (PUBLIC_PEER, PUBLIC_PEER, Rules(), "peer", "The peer gets media where it signals from."),
        (
            f"[::ffff:{PUBLIC_PEER}]",
            PUBLIC_PEER,
            Rules(),
            "peer",
            "The peer gets media where it signals from.",
        ),
        (ITS_MEDIA, PUBLIC_PEER, Rules(), "callee", "The callee of a typed call wants it there."),
        (
            ITS_MEDIA,
            PUBLIC_PEER,
            Rules(media=(parse_allow("192.0.2.1"), parse_allow(ITS_MEDIA))),
            "target",
            f"{ITS_MEDIA} is permitted for media.",
        ),
        (
            ITS_MEDIA,
            PUBLIC_PEER,
            Rules(targets=(parse_allow(ITS_MEDIA),)),
            "target",
            f"{ITS_MEDIA} is permitted by name.",
        ),
        (
            "127.0.0.2",
            "127.0.0.1",
            Rules(),
            "loopback",
            "127.0.0.2 and the peer are both on this machine.",
        ),
        (
            "192.168.1.9",
            "192.168.1.10",
            Rules(local=("192.168.1.9", "192.168.1.10")),
            "loopback",
            "192.168.1.9 and the peer are both on this machine.",
        ),
        (
            "192.168.1.9",
            "192.168.1.11",
            Rules(local=("192.168.1.9",)),
            "private",
            "192.168.1.9 is in a private range.",
        ),
        ("fe80::5", "fe80::9", Rules(), "peer", "fe80::5 is on the peer's own link."),
        ("10.0.0.1", PUBLIC_PEER, Rules(), "private", "10.0.0.1 is in a private range."),
        (
            "10.0.0.1",
            "10.0.0.2",
            Rules(embedded=False, targets=(parse_allow("10.0.0.2"),)),
            "private",
            "10.0.0.1 is in a private range.",
        ),
    ],
)
def test_reason_of_permitted_media_names_its_ground(
    address: str, peer: str, rules: Rules, ground: str, reason: str
) -> None:
    decision = ask(address, peer=peer, rules=rules)
    assert (decision.allowed, decision.ground, decision.reason) == (True, ground, reason)


@pytest.mark.parametrize(
    ("address", "peer", "rules", "reason"),
    [
        (
            "media.example.com",
            PUBLIC_PEER,
            Rules(),
            "media.example.com is not a numeric address; the peer gets media at no other.",
        ),
        (
            ITS_MEDIA,
            "a.example",
            Rules(),
            f"{ITS_MEDIA} is not a numeric address; the peer gets media at no other.",
        ),
        (
            "224.0.1.75",
            PUBLIC_PEER,
            Rules(),
            "The peer wants media at 224.0.1.75, which is a multicast address.",
        ),
        ("127.0.0.1", PUBLIC_PEER, Rules(), f"{CALLEE_SAYS} 127.0.0.1, which is this machine itself."),
        ("169.254.1.1", PUBLIC_PEER, Rules(), f"{CALLEE_SAYS} 169.254.1.1: a link-local address."),
        (
            "10.0.0.1",
            PUBLIC_PEER,
            Rules(embedded=False),
            f"{CALLEE_SAYS} 10.0.0.1: an address in a private range.",
        ),
        (
            "100.64.0.1",
            PUBLIC_PEER,
            Rules(),
            f"{CALLEE_SAYS} 100.64.0.1: an address in carrier-grade NAT space.",
        ),
    ],
)
def test_reason_of_refused_media_names_what_is_wrong(
    address: str, peer: str, rules: Rules, reason: str
) -> None:
    told = media_allowed(address, 4000, peer=peer, purpose=Purpose.CALL, rules=rules, signalling=CALLED)
    assert (told.allowed, told.reason) == (False, reason)


def test_address_inside_is_permitted_by_a_rule_and_this_machine_by_none() -> None:
    assert ask("169.254.1.1").remedy == permit("169.254.1.1")
    assert ask("127.0.0.1").remedy == Remedy(RemedyKind.CORRECT_PEER)


def test_refused_or_merely_permitted_signalling_is_no_typed_call() -> None:
    refused = Decision(False, "", ground=Ground.TYPED)
    permitted = Decision(True, "", ground=Ground.TARGET)
    for signalling in (refused, permitted, None):
        for allowed in (media_allowed, contact_allowed):
            told = allowed(
                ITS_MEDIA, 5060, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=Rules(), signalling=signalling
            )
            assert not told.allowed


def test_name_that_the_peer_said_is_shown_and_may_be_permitted() -> None:
    named = Rules(targets=(parse_allow("edge.example.com"),))
    told = led(ITS_MEDIA, named, name="edge.example.com")
    assert told.reason == f"edge.example.com ({ITS_MEDIA}) is permitted by name."
    assert (told.allowed, told.ground, told.target) == (True, Ground.TARGET, named.targets[0])
    refused = led("169.254.1.1", Rules(), name="edge.example.com")
    assert refused.reason == (
        f"The peer {PUBLIC_PEER} wants requests at edge.example.com (169.254.1.1): a link-local address."
    )
    assert refused.remedy == permit("edge.example.com")


def test_where_strangers_give_the_orders_a_permitted_name_does_not_lead_inside() -> None:
    rules = Rules(targets=(parse_allow("edge.example.com"),), embedded=False)
    assert led(ITS_MEDIA, rules, name="edge.example.com").allowed
    for inside in ("10.0.0.1", "127.0.0.1", "100.64.0.1"):
        refused = led(inside, rules, name="edge.example.com")
        assert not refused.allowed
    assert led("10.0.0.1", rules, name="edge.example.com").remedy == permit("10.0.0.1")
    assert led("10.0.0.1", Rules(targets=rules.targets), name="edge.example.com").ground is Ground.TARGET


def test_loopback_is_given_by_this_machine_to_this_machine_alone() -> None:
    rules = Rules(local=("192.168.1.9",))
    for address in ("127.0.0.1", "::1"):
        assert ask(address, peer="192.168.1.9", rules=rules, typed=False).allowed
        assert not ask(address, peer="192.168.1.8", rules=rules, typed=False).allowed
    strangers = Rules(local=("203.0.113.20",), embedded=False)
    refused = media_allowed(ITS_MEDIA, 4000, peer="127.0.0.1", purpose=Purpose.RUN, rules=strangers)
    assert (
        refused.reason
        == f"The peer 127.0.0.1 wants media at {ITS_MEDIA}: neither the peer itself nor permitted."
    )


def test_private_peer_leads_into_a_private_range_only_if_we_called_it() -> None:
    rules = Rules(embedded=False)
    called_it = decide(Purpose.RUN, Destination("10.0.0.2"), Rules(targets=(parse_allow("10.0.0.2"),)))
    for peer, signalling, allowed in (
        ("10.0.0.2", called_it, True),
        ("10.0.0.2", None, False),
        (PUBLIC_PEER, called_it, False),
    ):
        told = media_allowed(
            "10.0.0.1", 4000, peer=peer, purpose=Purpose.RUN, rules=rules, signalling=signalling
        )
        assert told.allowed is allowed


@pytest.mark.parametrize("address", ["192.0.0.192", "198.18.0.9", "fec0::5", "2002:a00:1::1"])
def test_a_range_that_is_not_reachable_globally_is_entered_only_where_it_is_permitted(address: str) -> None:
    rules = Rules(typed=(PUBLIC_PEER,))
    signalling = decide(Purpose.CALL, Destination(PUBLIC_PEER), rules)

    def asked(rules: Rules) -> Decision:
        return contact_allowed(
            address, 5060, peer=PUBLIC_PEER, purpose=Purpose.CALL, rules=rules, signalling=signalling
        )

    refused = asked(rules)
    assert not refused.allowed
    assert "not reachable globally" in refused.reason
    assert refused.remedy == permit(address)
    assert asked(Rules(typed=rules.typed, targets=(parse_allow(address),))).allowed
