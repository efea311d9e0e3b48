from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.policy.addresses import numeric
from callwright.policy.destination import (
    Destination,
    Ground,
    PolicyError,
    Purpose,
    Rules,
    Target,
    decide,
    parse_allow,
)
from callwright.policy.numbers import LONGEST, number_matches
from callwright.policy.remedy import Remedy, RemedyKind

EMPTY = Rules()


def allow(*texts: str) -> Rules:
    return Rules(targets=tuple(parse_allow(text) for text in texts))


def permit(place: str) -> Remedy:
    return Remedy(RemedyKind.PERMIT_PLACE, place)


@pytest.mark.parametrize(
    ("address", "ground"),
    [
        ("127.0.0.1", Ground.LOOPBACK),
        ("127.9.9.9", Ground.LOOPBACK),
        ("::1", Ground.LOOPBACK),
        ("[::1]", Ground.LOOPBACK),
        ("localhost", Ground.LOOPBACK),
        ("::ffff:127.0.0.1", Ground.LOOPBACK),
        ("10.1.2.3", Ground.PRIVATE),
        ("172.16.0.1", Ground.PRIVATE),
        ("172.31.255.254", Ground.PRIVATE),
        ("192.168.1.7", Ground.PRIVATE),
        ("::ffff:192.168.1.7", Ground.PRIVATE),
        ("fd00::1", Ground.PRIVATE),
        ("172.32.0.1", None),
        ("203.0.113.7", None),
        ("8.8.8.8", None),
        ("2001:db8::1", None),
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
        ("100.64.0.1", None),
        ("169.254.169.254", None),
        ("fe80::1", None),
        ("fe80::1%eth0", None),
    ],
)
def test_a_run_goes_near_and_no_further(address: str, ground: Ground | None) -> None:
    decision = decide(Purpose.RUN, Destination(address), EMPTY)
    assert (decision.allowed, decision.ground) == (ground is not None, ground)
    assert bool(decision.remedy) == (ground is None)


@pytest.mark.parametrize("rules", [EMPTY, allow("0.0.0.0/0", "::/0"), Rules(typed=("THE HOST",))])
@pytest.mark.parametrize("purpose", list(Purpose))
@pytest.mark.parametrize(
    ("address", "what"),
    [
        ("0.0.0.0", "unspecified"),
        ("0.1.2.3", "no host"),
        ("::", "unspecified"),
        ("::ffff:0.0.0.0", "unspecified"),
        ("255.255.255.255", "broadcast"),
        ("::ffff:255.255.255.255", "broadcast"),
        ("64:ff9b::ffff:ffff", "broadcast"),
        ("240.0.0.1", "reserved"),
        ("224.0.1.75", "multicast"),
        ("::ffff:224.0.1.75", "multicast"),
        ("ff02::1", "multicast"),
    ],
)
def test_nobody_calls_everybody(address: str, what: str, purpose: Purpose, rules: Rules) -> None:
    rules = Rules(typed=(address,), targets=rules.targets) if rules.typed else rules
    decision = decide(purpose, Destination(address), rules)
    assert not decision.allowed
    assert what in decision.reason
    by_name = decide(purpose, Destination("pbx.example.com", ("192.168.0.1", address)), rules)
    assert not by_name.allowed


def test_a_refusal_names_the_place_that_a_rule_would_have_to_permit() -> None:
    decision = decide(Purpose.RUN, Destination("sip.example.com", ("203.0.113.7",)), EMPTY)
    assert decision.reason == (
        "sip.example.com (203.0.113.7) is not permitted: only loopback, private ranges and what is named are."
    )
    assert decision.remedy == permit("203.0.113.7")
    assert decide(Purpose.RUN, Destination("sip.example.com", ("203.0.113.7",)), allow("203.0.113.7")).allowed


@pytest.mark.parametrize(
    ("flag", "host", "addresses", "allowed"),
    [
        ("203.0.113.7", "203.0.113.7", (), True),
        ("203.0.113.7", "203.0.113.8", (), False),
        ("203.0.113.7", "::ffff:203.0.113.7", (), True),
        ("203.0.113.0/24", "203.0.113.99", (), True),
        ("203.0.113.5/24", "203.0.113.99", (), True),
        ("203.0.113.0/24", "203.0.114.1", (), False),
        ("[2001:db8::1]", "2001:db8::1", (), True),
        ("2001:db8::/32", "2001:db8:9::1", (), True),
        ("sip.example.com", "SIP.Example.COM.", ("203.0.113.7",), True),
        ("sip.example.com", "sip.example.com", (), True),
        ("sip.example.com", "sip.example.com.evil.org", ("203.0.113.7",), False),
        ("*.example.com", "a.b.example.com", ("203.0.113.7",), True),
        ("*.example.com", "example.com", ("203.0.113.7",), False),
        ("*.example.com", "badexample.com", ("203.0.113.7",), False),
        ("203.0.113.0/24", "two.example.com", ("203.0.113.1", "203.0.113.2"), True),
        ("203.0.113.0/24", "two.example.com", ("203.0.113.1", "198.51.100.2"), False),
        ("203.0.113.0/24", "two.example.com", ("10.0.0.1", "203.0.113.1"), True),
    ],
)
def test_allow_means_what_it_says(flag: str, host: str, addresses: tuple[str, ...], allowed: bool) -> None:
    assert decide(Purpose.RUN, Destination(host, addresses), allow(flag)).allowed is allowed


@pytest.mark.parametrize(
    "text", ["", "sip:a@b", "203.0.113.7:5060", "203.0.113.0/99", "a,b", "a b", "300.1.1.1", "10.0.0"]
)
def test_an_allow_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(PolicyError, match="--allow takes"):
        parse_allow(text)


@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.REGISTER, Purpose.OPTIONS])
def test_what_a_person_typed_is_where_it_goes(purpose: Purpose) -> None:
    rules = Rules(typed=("sip.example.com", "[2001:db8::1]", "203.0.113.9"))
    assert decide(purpose, Destination("sip.example.com", ("203.0.113.7",)), rules).ground is Ground.TYPED
    assert decide(purpose, Destination("Sip.Example.com."), rules).ground is Ground.TYPED
    assert decide(purpose, Destination("2001:db8:0::1"), rules).allowed
    assert decide(purpose, Destination("::ffff:203.0.113.9"), rules).allowed
    assert not decide(purpose, Destination("redirected.example.net", ("203.0.113.8",)), rules).allowed


@pytest.mark.parametrize("purpose", [Purpose.RUN, Purpose.LOAD, Purpose.MEDIA])
def test_typing_is_not_enough_for_a_run(purpose: Purpose) -> None:
    rules = Rules(typed=("sip.example.com",))
    assert not decide(purpose, Destination("sip.example.com", ("203.0.113.7",)), rules).allowed


def test_load_needs_more_than_a_private_range() -> None:
    assert decide(Purpose.LOAD, Destination("127.0.0.1"), EMPTY).allowed
    assert not decide(Purpose.LOAD, Destination("192.168.1.7"), EMPTY).allowed
    assert decide(Purpose.LOAD, Destination("192.168.1.7"), allow("192.168.1.0/24")).allowed


def test_a_name_without_an_address_is_undecided() -> None:
    decision = decide(Purpose.RUN, Destination("pbx.lan"), EMPTY)
    assert (decision.allowed, decision.undecided) == (False, True)
    assert decision.remedy == permit("pbx.lan")
    assert decide(Purpose.RUN, Destination("pbx.lan", ("192.168.1.7",)), EMPTY).allowed


def test_where_strangers_give_the_orders_a_name_does_not_lead_inside() -> None:
    rules = Rules(targets=(parse_allow("rebound.example.com"),), embedded=False)
    assert decide(Purpose.RUN, Destination("rebound.example.com", ("203.0.113.7",)), rules).allowed
    for inside in ("127.0.0.1", "10.0.0.1", "fd00::1"):
        assert not decide(Purpose.RUN, Destination("rebound.example.com", (inside,)), rules).allowed
        assert not decide(Purpose.RUN, Destination(inside), rules).allowed
    ours = Rules(targets=(parse_allow("10.0.0.0/8"),), embedded=False)
    assert decide(Purpose.RUN, Destination("10.0.0.1"), ours).allowed


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_a_port_that_does_not_exist_is_refused(port: int) -> None:
    assert not decide(Purpose.CALL, Destination("127.0.0.1", port=port), EMPTY).allowed


def test_what_is_no_address_is_refused() -> None:
    assert not decide(Purpose.RUN, Destination("a.example", ("nonsense",)), allow("a.example")).allowed


# -- numbers

DANGEROUS = [
    "112",
    "911",
    "999",
    "000",
    "110",
    "9-1-1",
    "+911",
    "0112",
    "9911",
    "112;phone-context=example.com",
    "%31%31%32",
    "１１２",
    "sos",
    "SOS",
    "+19005551234",
    "0019005551234",
    "01119005551234",
    "1-900-555-1234",
    "9005551234",
    "0900123456",
    "0900 123 456",
    "+43900123456",
    "+979123456789",
]
HARMLESS = ["", "1001", "1", "100", "9110", "0900", "1900", "+431234567", "alice", "1120", "+15551234567"]


@pytest.mark.parametrize("user", DANGEROUS)
@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.RUN, Purpose.LOAD])
def test_numbers_that_hurt_are_called_nowhere_but_on_our_own_pbx(user: str, purpose: Purpose) -> None:
    rules = Rules(typed=("127.0.0.1",), targets=(parse_allow("0.0.0.0/0"),), own=(("127.0.0.1", 5070),))
    for host in ("127.0.0.1", "192.168.1.7", "203.0.113.7"):
        decision = decide(purpose, Destination(host, port=5060, user=user), rules)
        assert not decision.allowed
        assert decision.remedy == Remedy(RemedyKind.PERMIT_NUMBER, host, "".join(user.split()))
    own = decide(purpose, Destination("localhost", ("127.0.0.1",), 5070, user), rules)
    assert own.ground is Ground.OWN


@pytest.mark.parametrize("user", HARMLESS)
def test_other_numbers_are_just_numbers(user: str) -> None:
    assert decide(Purpose.RUN, Destination("127.0.0.1", user=user), EMPTY).allowed


@pytest.mark.parametrize("purpose", [Purpose.REGISTER, Purpose.OPTIONS, Purpose.MEDIA])
def test_to_register_as_110_is_no_call(purpose: Purpose) -> None:
    assert decide(purpose, Destination("127.0.0.1", user="110"), EMPTY).allowed


@pytest.mark.parametrize(
    ("target", "user", "allowed"),
    [
        (Target(number="112"), "112", True),
        (Target(number="1-1-2"), "112", True),
        (Target(number="110"), "112", False),
        (Target(number="11?"), "112", False),
        (Target(number="*"), "112", False),
        (Target(number="*"), "+19005551234", False),
        (Target(number="+1900*"), "0019005551234", True),
        (Target(number="0900??????"), "0900123456", True),
        (Target(host="192.168.1.7", number="112"), "112", True),
        (Target(network="192.168.1.0/24", number="112"), "112", True),
        (Target(host="192.168.1.8", number="112"), "112", False),
        (Target(network="192.168.1.0/24"), "112", False),
        (Target(number="*" * 50 + "1*1*1*1*1*1*2"), "+1900" + "1" * 60, False),
    ],
)
def test_a_target_permits_the_number_it_means(target: Target, user: str, allowed: bool) -> None:
    decision = decide(Purpose.RUN, Destination("192.168.1.7", user=user), Rules(targets=(target,)))
    assert decision.allowed is allowed


@pytest.mark.parametrize("pattern", ["*1*1*1*1", "*1" * 200, "*?" * 200 + "x", "*" * 500 + "#"])
def test_no_pattern_of_a_target_makes_a_question_slow(pattern: str) -> None:
    assert not number_matches(pattern, "1" * 1_000 + "2" + "," * 24)


@given(st.text("1*?2#", max_size=7), st.text("12#+a", max_size=8))
def test_wildcards_of_numbers_mean_what_a_regular_expression_would(pattern: str, user: str) -> None:
    expression = pattern.replace("*", "[0-9a-z+_]*").replace("?", "[0-9a-z+_]")
    assert number_matches(pattern, user) == (re.fullmatch(expression, user) is not None)


def test_a_number_permits_no_place() -> None:
    rules = Rules(targets=(Target(number="112"), Target(number="+43*")))
    assert not decide(Purpose.RUN, Destination("203.0.113.7", user="112"), rules).allowed
    assert not decide(Purpose.RUN, Destination("203.0.113.7", user="+431"), rules).allowed


def test_a_place_with_a_number_is_permitted_for_that_number() -> None:
    target = Target(host="203.0.113.7", number="+431*", rate=1, concurrency=2, minutes=30)
    rules = Rules(targets=(target,))
    decision = decide(Purpose.RUN, Destination("203.0.113.7", user="00431234567"), rules)
    assert (decision.allowed, decision.target) == (True, target)
    assert not decide(Purpose.RUN, Destination("203.0.113.7", user="+49123"), rules).allowed


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"host": "a", "network": "10.0.0.0/8"},
        {"network": "all"},
        {"host": "a", "rate": 0},
        {"host": "a", "concurrency": -1},
        {"host": "a", "minutes": float("nan")},
    ],
)
def test_a_target_that_means_nothing_is_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(PolicyError):
        Target(**arguments)  # type: ignore[arg-type]


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6), st.sampled_from(list(Purpose)))
def test_without_rules_nothing_but_the_near_is_ever_allowed(address: object, purpose: Purpose) -> None:
    decision = decide(purpose, Destination(str(address)), EMPTY)
    assert decision.reason.endswith(".")
    assert decision.ground in (None, Ground.LOOPBACK, Ground.PRIVATE)


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_text_breaks_the_policy(host: str, user: str) -> None:
    rules = Rules(typed=(host,), targets=(Target(host="a", number="0900*"), Target(number="11?")))
    decide(Purpose.CALL, Destination(host, user=user), rules)
    decide(Purpose.RUN, Destination(host, ("127.0.0.1",), user=user), rules)


def test_a_person_who_types_is_told_of_no_flag_that_is_not_there() -> None:
    decision = decide(Purpose.CALL, Destination("203.0.113.7"), Rules(typed=("192.0.2.10",)))
    assert not decision.allowed
    assert decision.remedy == Remedy(RemedyKind.TYPE_PLACE, "203.0.113.7")


# -- to the letter


@pytest.mark.parametrize(("port", "allowed"), [(1, True), (65535, True), (None, True), (0, False)])
def test_ports_from_1_to_65535_exist(port: int | None, allowed: bool) -> None:
    decision = decide(Purpose.RUN, Destination("127.0.0.1", port=port), EMPTY)
    assert decision.allowed is allowed
    if not allowed:
        assert decision.reason == "Port 0 does not exist."
        assert decision.remedy == Remedy(RemedyKind.CORRECT_PORT)


def test_user_part_may_be_as_long_as_the_limit() -> None:
    allowed = decide(Purpose.RUN, Destination("127.0.0.1", user="a" * LONGEST), EMPTY)
    assert allowed.allowed
    refused = decide(Purpose.RUN, Destination("127.0.0.1", user="a" * (LONGEST + 1)), EMPTY)
    assert (refused.allowed, refused.undecided) == (False, False)
    assert refused.reason == "A user part has at most 1024 characters, not 1025."


def test_name_that_resolved_to_no_address_is_refused_with_the_answer() -> None:
    decision = decide(Purpose.RUN, Destination("a.example", ("127.0.0.1", "x")), EMPTY)
    assert (decision.allowed, decision.undecided) == (False, False)
    assert decision.reason == "a.example resolved to something that is not an address: 127.0.0.1, x."


def test_localhost_needs_no_dns_and_its_answer_counts() -> None:
    for name in ("localhost", "LocalHost."):
        assert decide(Purpose.RUN, Destination(name), EMPTY).ground is Ground.LOOPBACK
    assert not decide(Purpose.RUN, Destination("localhost", ("203.0.113.7",)), EMPTY).allowed
    assert decide(Purpose.RUN, Destination("elsewhere"), EMPTY).undecided


def test_numeric_host_counts_beside_what_dns_is_said_to_have_answered() -> None:
    assert not decide(Purpose.RUN, Destination("203.0.113.7", ("127.0.0.1",)), EMPTY).allowed


def test_address_of_nobody_is_refused_with_its_name() -> None:
    decision = decide(Purpose.RUN, Destination("all.example", ("224.0.1.75",)), EMPTY)
    assert (decision.allowed, decision.undecided) == (False, False)
    assert decision.reason == "all.example (224.0.1.75) is a multicast address; no call goes there."
    assert decision.remedy is None


def test_reason_of_a_permission_names_its_ground() -> None:
    own = Rules(own=(("127.0.0.1", 5060),))
    target = parse_allow("203.0.113.0/24")
    name = parse_allow("pbx.example.com")
    permitted = Rules(typed=("typed.example.com",), targets=(target, name))
    asked = {
        "It is the built-in PBX.": decide(Purpose.RUN, Destination("127.0.0.1"), own),
        "A person typed it.": decide(Purpose.CALL, Destination("typed.example.com"), permitted),
        "localhost (127.0.0.1) is this machine.": decide(Purpose.RUN, Destination("localhost"), EMPTY),
        "10.0.0.1 is in a private range.": decide(Purpose.RUN, Destination("10.0.0.1"), EMPTY),
        "pbx.example.com is permitted by name.": decide(
            Purpose.RUN, Destination("pbx.example.com"), permitted
        ),
        "203.0.113.7 is permitted as 203.0.113.0/24.": decide(
            Purpose.RUN, Destination("203.0.113.7"), permitted
        ),
        "pbx.example.com (198.51.100.1) is permitted as pbx.example.com.": decide(
            Purpose.RUN, Destination("pbx.example.com", ("198.51.100.1",)), permitted
        ),
    }
    for reason, decision in asked.items():
        assert (decision.allowed, decision.reason, decision.remedy) == (True, reason, None)
    grounds = [decision.ground for decision in asked.values()]
    assert grounds == ["own", "typed", "loopback", "private", "target", "target", "target"]
    targets = [decision.target for decision in asked.values()]
    assert targets == [None, None, None, None, name, target, name]


def test_refused_load_is_told_where_load_may_go() -> None:
    decision = decide(Purpose.LOAD, Destination("192.168.1.7"), EMPTY)
    assert decision.reason == (
        "192.168.1.7 is not permitted: load goes only to this machine and to what is named."
    )
    assert decision.remedy == permit("192.168.1.7")


def test_own_pbx_is_its_address_and_its_port() -> None:
    rules = Rules(own=(("203.0.113.9", 5060), ("203.0.113.9", 5070)))
    for port, ground in ((None, Ground.OWN), (5060, Ground.OWN), (5070, Ground.OWN), (5061, None)):
        decision = decide(Purpose.RUN, Destination("203.0.113.9", port=port, user="112"), rules)
        assert (decision.ground, decision.allowed) == (ground, ground is not None)
    both = Destination("pbx.example.com", ("203.0.113.9", "203.0.113.8"), 5060, "112")
    assert not decide(Purpose.RUN, both, rules).allowed
    assert not decide(Purpose.RUN, Destination("203.0.113.8", port=5060), rules).allowed


def test_refused_number_is_shown_as_it_is_dialled() -> None:
    def refusal(user: str) -> tuple[str, str]:
        decision = decide(Purpose.RUN, Destination("127.0.0.1", user=user), EMPTY)
        assert not decision.allowed
        assert decision.remedy is not None
        assert (decision.remedy.kind, decision.remedy.place) == (RemedyKind.PERMIT_NUMBER, "127.0.0.1")
        return decision.reason, decision.remedy.number

    only = "it is called only on the built-in PBX."
    assert refusal("%31%31%32") == (f"112 is an emergency number; {only}", "%31%31%32")
    assert refusal("112%0A") == (f"112%0A is an emergency number; {only}", "112%0A")
    assert refusal("+88161 234567") == (
        f"+88161 234567 is a satellite number; {only}",
        "+88161234567",
    )
    assert refusal("0900123456")[0] == f"0900123456 is a premium-rate number; {only}"


def test_number_is_permitted_where_all_addresses_of_the_name_are_the_targets() -> None:
    network = Target(network="203.0.113.0/24", number="112")
    anywhere = parse_allow("0.0.0.0/0")
    inside, outside = "203.0.113.7", "198.51.100.7"
    for addresses, allowed in (
        ((inside,), True),
        ((inside, "203.0.113.8"), True),
        ((inside, outside), False),
        ((outside, inside), False),
        ((), False),
    ):
        rules = Rules(targets=(network, anywhere))
        decision = decide(Purpose.RUN, Destination("pbx.example.com", addresses, user="112"), rules)
        assert decision.allowed is allowed
        assert decision.undecided is False
    named = Rules(targets=(Target(host="pbx.example.com", number="112"),))
    assert decide(Purpose.RUN, Destination("pbx.example.com", user="112"), named).allowed
    assert decide(Purpose.RUN, Destination("pbx.example.com", (inside, outside), user="112"), named).allowed


def test_place_with_a_number_is_not_permitted_for_a_request_that_dials_none() -> None:
    rules = Rules(targets=(Target(host="203.0.113.7", number="*"),))
    assert not decide(Purpose.RUN, Destination("203.0.113.7"), rules).allowed
    assert decide(Purpose.RUN, Destination("203.0.113.7", user="100"), rules).allowed


def test_target_with_an_address_means_it_in_any_spelling_and_no_name() -> None:
    target = Target(host="[2001:db8::1]")
    assert target.permits_places
    assert not Target(number="112").permits_places
    for text, at in (("2001:db8:0:0::1", True), ("2001:db8::2", False), ("203.0.113.1", False)):
        assert target.at("pbx.example.com", numeric(text)) is at
    assert target.at("2001:db8::1", None) is False
    assert Target(host="::ffff:203.0.113.7").at("", numeric("203.0.113.7")) is True


def test_target_with_a_network_means_no_name_and_no_address_of_the_other_kind() -> None:
    target = Target(network="203.0.113.5/24")
    assert target.at("203.0.113.7", None) is False
    for text, at in (("203.0.113.0", True), ("203.0.113.255", True), ("203.0.112.255", False)):
        assert target.at("", numeric(text)) is at
    assert target.at("", numeric("2001:db8::1")) is False
    assert Target(network="2001:db8::5/32").at("", numeric("2001:db8:ffff::1")) is True
    assert Target(number="112").at("", numeric("203.0.113.7")) is False


def test_target_with_a_name_means_it_alone() -> None:
    for wanted, host, at in (
        ("PBX.example.com.", "pbx.Example.com", True),
        ("example.com", "pbx.example.com", False),
        ("bx.example.com", "pbx.example.com", False),
        ("*.example.com", "pbx.example.com", True),
        ("*.example.com", "pbx.example.com.", True),
        ("*.example.com", "example.com", False),
    ):
        assert Target(host=wanted).at(host, numeric("203.0.113.7")) is at


def test_cap_of_a_target_is_above_0() -> None:
    target = Target(host="a", rate=0.1, concurrency=1, minutes=0.5)
    assert (target.rate, target.concurrency, target.minutes) == (0.1, 1, 0.5)
    with pytest.raises(PolicyError, match=r"^The cap rate of a target is above 0, not 0\.$"):
        Target(host="a", rate=0)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"host": "a", "network": "10.0.0.0/8"}, "A target has a host or a network, not both."),
        ({}, "A target needs a host, a network or a number."),
        ({"network": "all"}, "'all' is not a network such as 192.0.2.0/24."),
        ({"host": "a", "country": "XX"}, "'XX' is not a country: use two letters of ISO 3166, such as AT."),
        (
            {"host": "a", "country": "uk"},
            "'uk' is not a country: use two letters of ISO 3166, such as AT. Great Britain is GB.",
        ),
    ],
)
def test_refused_target_is_told_what_a_target_is(arguments: dict[str, str], told: str) -> None:
    with pytest.raises(PolicyError) as refused:
        Target(**arguments)  # type: ignore[arg-type]
    assert str(refused.value) == told


def test_stranger_may_name_a_place_outside_and_no_place_inside() -> None:
    rules = Rules(typed=("pbx.example.com", "10.0.0.1"), embedded=False)
    assert decide(Purpose.CALL, Destination("pbx.example.com", ("203.0.113.7",)), rules).allowed
    for inside in ("10.0.0.1", "127.0.0.1", "169.254.169.254", "100.64.0.1", "198.18.0.1"):
        refused = decide(Purpose.CALL, Destination("pbx.example.com", (inside,)), rules)
        assert not refused.allowed
        assert refused.reason == (
            f"pbx.example.com ({inside}) was not named on the command line, "
            "and is neither loopback nor private."
        )
    assert not decide(Purpose.CALL, Destination("10.0.0.1"), rules).allowed


def test_allow_keeps_a_name_as_it_is_written() -> None:
    assert parse_allow(" PBX.example.com ") == Target(host="PBX.example.com")
    assert parse_allow("203.0.113.5/24") == Target(network="203.0.113.0/24")
    assert parse_allow("203.0.113.5") == Target(network="203.0.113.5/32")
    assert parse_allow("[2001:db8::1]") == Target(network="2001:db8::1/128")
    assert parse_allow("pbx1") == Target(host="pbx1")
