from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callwright.policy.destination import Destination, Ground, PolicyError, Purpose, Rules, Target, decide
from callwright.policy.numbers import LONGEST, danger, normalize, number_matches
from callwright.policy.remedy import Remedy, RemedyKind
from callwright.sip.uri import Uri

EMERGENCY = ("112", "911", "999", "000")

#: How people, phones and documents write the same number.
DRESSINGS = {
    "bare": "{}",
    "hash behind": "{}#",
    "comma behind": "{},",
    "a pause and digits behind": "{},,1234",
    "a pause of p": "{}p1",
    "a pause of w": "{}w",
    "an extension behind": "{}ext5",
    "star behind": "{}*",
    "hash and digits behind": "{}#99",
    "number withheld": "*31#{}",
    "number shown": "#31#{}",
    "two service codes": "#31#*43#{}",
    "number withheld in America": "*67{}",
    "forwarded to": "**21*{}#",
    "forwarded to, with seconds": "*61*{}**20#",
    "a star before": "*{}#",
    "plus before": "+{}",
    "two pluses before": "++{}",
    "escaped": "%2B{}",
    "tel URI": "tel:{}",
    "sip URI": "sip:{}@pbx.example.com",
    "a password behind": "{}:secret",
    "an escaped at behind": "{}%40elsewhere",
    "a domain as context": "{};phone-context=example.com",
    "a country as context": "{};phone-context=+43",
    "another parameter": "{};isub=12",
    "blank behind": "{} ",
    "no-break space before": "\u00a0{}",
    "zero-width space before": "\u200b{}",
    "soft hyphen behind": "{}\u00ad",
    "right-to-left mark": "\u200f{}",
    "in brackets": "({})",
    "country code": "+43{}",
    "country code by 00": "0043{}",
    "country code by 011": "01143{}",
    "country code and trunk 0": "+43(0){}",
    "plus and 00": "+0043{}",
    "outside line and country code": "0+43{}",
    "outside line and number withheld": "0#31#{}",
    "outside line of 9 and number withheld": "9#31#{}",
    "outside line and number withheld in America": "9*67{}",
    "outside line of two digits and a service code": "90*31#{}",
    "outside line and forwarded to": "9**21*{}#",
    "outside line, a pause of w": "9w{}",
    "outside line, a pause of p": "9p{}",
    "outside line, pauses": "0W,p{}",
    "outside line, a comma, number withheld": "9,#31#{}",
    "outside line, a pause, number withheld": "9w#31#{}",
    "two outside lines with pauses": "9p0w{}",
    "service code, outside line, service code": "*31#0#31#{}",
    "outside line, pause, separators": "9-w-{}",
    "outside line and an escaped pause": "9%77{}",
}


def spelled(number: str) -> list[str]:
    """The digits of it in other ways."""
    return [
        "-".join(number),
        ".".join(number),
        "\u2011".join(number),
        " / ".join(number),
        "+".join(number),
        "*".join(number),
        "".join(f"%{ord(digit):x}" for digit in number),
        "".join(f"%25{ord(digit):x}" for digit in number),
        "".join(chr(0xFF10 + int(digit)) for digit in number),  # full width
        "".join(chr(0x0660 + int(digit)) for digit in number),  # Arabic
        "".join(chr(0x06F0 + int(digit)) for digit in number),  # Persian
        "".join(chr(0x0966 + int(digit)) for digit in number),  # Devanagari
        "".join(chr(0x1D7CE + int(digit)) for digit in number),  # mathematical bold
        "".join(
            "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"[int(digit)] for digit in number
        ),
        "".join(f"{digit}\ufe0f\u20e3" for digit in number),  # keycaps
        "\u200b".join(number),
    ]


DANGEROUS = {
    *(dressing.format(number) for number in EMERGENCY for dressing in DRESSINGS.values()),
    *(spelling for number in EMERGENCY for spelling in spelled(number)),
    *(line + number for number in EMERGENCY for line in ("0", "9", "00", "09", "90", "99")),
    *("110", "0110", "0118", "+49110", "0049110", "91911", "9-1-911", "91112", "+3315", "003315", "+91100"),
    *("sos", "SOS", "sos.police", "urn:service:sos", "urn:service:sos.fire", "%73os"),
} - {"9999"}

COSTLY = [
    *("0900123456", "00900123456", "90900123456", "9 0900 123 456", "0900123456#", "*31#0900123456"),
    *("19005551234", "919005551234", "99005551234", "9005551234", "1-900-555-1234", "919001234567"),
    *("+43900123456", "++43900123456", "+43(0)900123456", "+430900123456", "0043900123456", "+0043900123456"),
    *("00043900123456", "90043900123456", "9011439001234567", "01143900123456", "001143900123456"),
    *("0#31#0900123456", "9w19005551234", "9*6719005551234", "00w43900123456", "9w011w43900123456"),
    *("43900123456", "9+43900123456", "+43%2D900123456", "900123456;phone-context=+43", "tel:+43900123456"),
    *(
        "0900123456;phone-context=+43",
        "+4 3 9 0 0 1 2 3",
        "+\uff14\uff13900123456",
        "+44906123456",
        "+449061234567",
    ),
    *("+33899123456", "+39899123456", "+49190123456", "0049190123456", "+611900123456", "+34803123456"),
    *("+819901234567", "+12129761234", "+979123456789", "+48700123456"),
]
SATELLITES = [
    *(
        "+870773123456",
        "00870773123456",
        "011870773123456",
        "870773123456",
        "+870 773-123.456",
        "900870773123456",
    ),
    *("0w870773123456", "9*67011870773123456"),
    *("+881612345678", "00881612345678", "+88216123456", "+883510012345", "+8835100", "0+881612345678"),
]

#: Numbers like others, as long as no country says otherwise.
ORDINARY = [
    *(
        "0",
        "9",
        "00",
        "09",
        "1",
        "15",
        "17",
        "18",
        "100",
        "101",
        "102",
        "106",
        "108",
        "190",
        "191",
        "193",
        "199",
    ),
    *(
        "900",
        "901",
        "1000",
        "1001",
        "1100",
        "1112",
        "1120",
        "1911",
        "1999",
        "2000",
        "2112",
        "4911",
        "9001",
        "9100",
    ),
    *(
        "9101",
        "9110",
        "9111",
        "9113",
        "9999",
        "9999#",
        "9-9-9-9",
        "10112",
        "43112",
        "91100",
        "112233",
        "911000",
    ),
    *(
        "0190",
        "0900",
        "1900",
        "*97",
        "*98#",
        "*43",
        "#1",
        "**1",
        "*72",
        "alice",
        "bob.112",
        "room112b",
        "x112",
        "",
    ),
    *(
        "9*8",
        "9*43",
        "9*97",
        "0#1",
        "9#12",
        "9*100",
        "9w",
        "0p15",
        "9w100",
        "0w2000",
        "9wife",
        "90ps",
        "112world",
        "soso",
        "sosa",
        "mos",
        "callwright",
        "+15551234567",
        "+431234567",
        "0043123456",
        "0043316123",
    ),
    *("0190123456", "0906123456", "0899123456", "09112123456", "01900123456", "02079460000", "9792345678"),
    *("8702345678", "+18702345678", "8812345678", "+919005551234", "00919005551234", "+390899123456"),
    *(
        "+442079460000",
        "00442079460000",
        "902079460000",
        "0018005551234",
        "+18005551234",
        "43123;phone-context=+1",
    ),
]

#: Numbers on which one may disagree: (number, what it is, why).
DECIDED = [
    ("043112", None, "a 0 and area code 0431; without a plus or 00, 43 is no country"),
    ("43112", None, "an extension of five digits"),
    ("943112", None, "an extension of six digits"),
    ("0043112", "emergency", "00 is a plus, and +43 112 is 112 in Austria"),
    ("011911", "emergency", "011 is a plus in North America, and a plus is skipped before 911"),
    ("011112", "emergency", "the same before 112"),
    ("011000", "emergency", "the same before 000, which is no row of trunk zeros"),
    ("0011911", "emergency", "0011 is a plus in Australia"),
    ("9011911", "emergency", "an outside line and 011"),
    ("90011999", "emergency", "an outside line and 0011"),
    ("9011112#", "emergency", "an outside line, 011, and a hash"),
    ("0112345", None, "0 and area code 0112; behind 011 stands no emergency number"),
    ("+390112", "emergency", "no subscriber of Turin (011) has one digit; a switch in Italy hears 0 and 112"),
    ("+39(0)118", "emergency", "the same with a trunk 0 that Italy has not"),
    ("0039 0112", "emergency", "00 is a plus"),
    ("+390112345678", None, "a subscriber in Turin"),
    ("+390110", "emergency", "0 and 110 in Italy"),
    ("+302112", None, "2112 is no number of Greece, and no digit for a line is 2"),
    ("+30112", "emergency", "112 in Greece"),
    ("+300112", "emergency", "112 in Greece behind a trunk 0"),
    ("8112", None, "an extension; 8 is no digit for a line that we know of"),
]

#: What one country alone has: (number, the country).
NATIONAL = [
    *(
        (number, "FR")
        for number in (
            "15",
            "17",
            "18",
            "15#",
            "*31#15",
            "0#31#15",
            "0w15",
            "015",
            "0017",
            "1-5",
            "\uff11\uff15",
            "15,",
        )
    ),
    *((number, "BR") for number in ("190", "192", "193", "0190", "9193", "190;phone-context=example.com")),
    *((number, "IN") for number in ("100", "101", "102", "108", "0100", "9101", "tel:100", "1%300")),
    *(
        (number, "DE")
        for number in ("110", "0110", "9110", "0190123456", "00190123456", "90190 123456", "0190 12")
    ),
    *(
        (number, "GB")
        for number in ("9999", "99999", "0906123456", "09061234567", "009061234567", "909061234567")
    ),
    *(
        (number, "FR")
        for number in ("0899123456", "00899123456", "90899123456", "0 899 12 34 56", "08991234567")
    ),
    *((number, "IT") for number in ("0899123456", "899123456", "0892424", "90899123456")),
    *((number, "CH") for number in ("0906123456", "0901123456", "00906123456", "117")),
    *((number, "JP") for number in ("010439001234567", "0990123456", "01043112", "010112")),
    *((number, "FR") for number in ("+15", "++15", "+15#", "0+15", "01115")),
    *((number, "AU") for number in ("106", "1900123456", "0011439001234567", "01900123456")),
    *((number, "US") for number in ("1911", "91911", "9112", "9110")),
]
ELSEWHERE = [
    *(("15", country) for country in ("DE", "AT", "GB", "US", "IN")),
    *(("100", country) for country in ("DE", "FR", "US")),
    *(("9999", country) for country in ("US", "DE", "FR")),
    *(("915", "FR"), ("2001", "FR"), ("0190123456", "GB"), ("09112123456", "DE"), ("0906123", "DE")),
    *(("08912345678", "DE"), ("02079460000", "GB"), ("1123456789", "IN"), ("+919005551234", "IN")),
    *(("09099012345", "JP"), ("06431234", "AT"), ("4101", "AT"), ("1001", "DE"), ("9099", "GB")),
]


@pytest.mark.parametrize("user", sorted(DANGEROUS))
def test_emergency_number_is_refused_in_every_dressing(user: str) -> None:
    assert danger(user) == "emergency"


@pytest.mark.parametrize(("user", "kind", "why"), DECIDED)
def test_disputed_number_is_decided_for_a_reason(user: str, kind: str | None, why: str) -> None:
    assert danger(user) == kind, why


@pytest.mark.parametrize("user", COSTLY)
def test_premium_number_is_refused_in_every_dressing(user: str) -> None:
    assert danger(user) == "premium"


@pytest.mark.parametrize("user", SATELLITES)
def test_satellite_number_is_refused_in_every_dressing(user: str) -> None:
    assert danger(user) == "satellite"


@pytest.mark.parametrize("user", ORDINARY)
def test_extension_is_an_ordinary_number(user: str) -> None:
    assert danger(user) is None


@pytest.mark.parametrize(("user", "country"), NATIONAL)
def test_what_one_country_has_is_refused_where_the_target_is_in_it(user: str, country: str) -> None:
    place = Destination("192.168.1.7", user=user)
    there = Rules(targets=(Target(network="192.168.1.0/24", country=country),))
    decision = decide(Purpose.RUN, place, there)
    assert not decision.allowed
    assert "number" in decision.reason
    elsewhere = Rules(
        targets=(Target(network="192.168.1.7", country="LI"), Target(host="a.example", country=country))
    )
    if danger(user) is None:
        assert f" in {country};" in decision.reason
        assert decide(Purpose.RUN, place, elsewhere).allowed


@pytest.mark.parametrize(("user", "country"), ELSEWHERE)
def test_what_another_country_has_is_an_ordinary_number(user: str, country: str) -> None:
    assert danger(user, country) is None


@pytest.mark.parametrize("purpose", [Purpose.CALL, Purpose.RUN, Purpose.LOAD])
def test_country_of_a_name_counts_before_and_after_dns(purpose: Purpose) -> None:
    rules = Rules(targets=(Target(host="*.example.com", country="in"),))
    for addresses in ((), ("203.0.113.7",)):
        refused = decide(purpose, Destination("pbx.example.com", addresses, user="100"), rules)
        assert refused.reason == "100 is an emergency number in IN; it is called only on the built-in PBX."
        assert refused.remedy == Remedy(RemedyKind.PERMIT_NUMBER, "pbx.example.com", "100")
        assert decide(purpose, Destination("pbx.example.com", addresses, user="200"), rules).allowed


def test_country_of_a_network_counts_for_a_name_that_leads_into_it() -> None:
    rules = Rules(targets=(Target(host="pbx.example.com"), Target(network="203.0.113.0/24", country="FR")))
    assert decide(Purpose.RUN, Destination("pbx.example.com", ("203.0.113.7",), user="2015"), rules).allowed
    assert not decide(Purpose.RUN, Destination("pbx.example.com", ("203.0.113.7",), user="15"), rules).allowed


def test_target_that_names_the_number_permits_it_in_its_country_too() -> None:
    place = Target(host="192.168.1.7", country="FR")
    for number in ("15", "112", "112#", "*31#112"):
        rules = Rules(targets=(place, Target(host="192.168.1.7", number=number)))
        assert decide(Purpose.RUN, Destination("192.168.1.7", user=number), rules).allowed
    rules = Rules(targets=(place, Target(host="192.168.1.7", number="1*")))
    assert not decide(Purpose.RUN, Destination("192.168.1.7", user="15"), rules).allowed


def test_extension_that_begins_like_an_emergency_number_is_permitted_by_a_pattern() -> None:
    india = Target(host="192.168.1.7", country="IN")
    refused = decide(Purpose.RUN, Destination("192.168.1.7", user="1001"), Rules(targets=(india,)))
    assert refused.reason.startswith("1001 begins with an emergency number in IN;")
    rules = Rules(targets=(india, Target(host="192.168.1.7", number="10??")))
    assert decide(Purpose.RUN, Destination("192.168.1.7", user="1001"), rules).allowed
    assert not decide(Purpose.RUN, Destination("192.168.1.7", user="100"), rules).allowed


def test_our_own_pbx_may_be_called_by_any_number_in_any_country() -> None:
    rules = Rules(targets=(Target(network="127.0.0.0/8", country="FR"),), own=(("127.0.0.1", 5070),))
    decision = decide(Purpose.RUN, Destination("127.0.0.1", port=5070, user="15"), rules)
    assert decision.ground is Ground.OWN


@pytest.mark.parametrize("country", ["", "X", "ZZ", "AUT", "43", "UK", "A T"])
def test_what_is_no_country_is_refused(country: str) -> None:
    with pytest.raises(PolicyError, match="country"):
        Target(host="pbx.example.com", country=country)


def test_country_needs_a_place() -> None:
    with pytest.raises(PolicyError, match="belongs to a host or a network"):
        Target(number="112", country="AT")
    assert Target(host="pbx.example.com", country="at").country == "AT"


# -- phone-context (RFC 3966 section 5.1.5)


@pytest.mark.parametrize(
    ("pattern", "user", "means"),
    [
        ("43123", "43123", True),
        ("43123", "43123;isub=1", True),
        ("43123", "43123;phone-context=+1", False),
        ("43123", "43123;PHONE-CONTEXT=+1", False),
        ("43123", "43123;phone-context=%2B1", False),
        ("43123", "43123%3Bphone-context=+1", False),
        ("43123", "43123;isub=1;phone-context=+1", False),
        ("43123", "tel:43123;phone-context=+1", False),
        ("43123", "43123;phone-context=example.com", False),
        ("43123", "43123;phone-context=", False),
        ("43123", "43123;phone-context", False),
        ("43123", "43123;phone-context=+1;phone-context=+43", False),
        ("4312?", "43123;phone-context=+1", False),
        ("43*", "43123;phone-context=+1", False),
        ("+143123", "43123;phone-context=+1", True),
        ("+1*", "43123;phone-context=+1", True),
        ("0043123", "3123;phone-context=+4", True),
        ("43123;phone-context=+1", "43123;phone-context=+1", True),
        ("43123;phone-context=example.com", "43123;phone-context=EXAMPLE.com", True),
        ("43123;phone-context=example.com", "43123", False),
        ("*", "43123;phone-context=example.com", False),
        ("+43123", "+43123;phone-context=+1", True),
        ("43123", "43123#", False),
        ("43123", "43123,999", False),
        ("43123", "*31#43123", False),
        ("43123", "43123%40evil", False),
        ("43123", "43123%2540evil", False),
        ("43123", "43123%3Aevil", False),
        ("43*", "43123%40evil", False),
        ("43123", "tel%3A43123", False),
        ("43123", "43123;phone-context=%40+1", False),
        ("+143123", "43123;phone-context=+1%40evil", False),
        ("alice%40example.com", "alice%40EXAMPLE.com", True),
        ("112", "112%40evil", False),
        ("43123", "43123:secret", True),
        ("43123", "tel:43123", True),
    ],
)
def test_number_of_a_target_means_the_number_in_its_context(pattern: str, user: str, means: bool) -> None:
    assert number_matches(pattern, user) is means
    rules = Rules(targets=(Target(host="203.0.113.7", number=pattern),))
    assert decide(Purpose.RUN, Destination("203.0.113.7", user=user), rules).allowed is means


@pytest.mark.parametrize(
    "text",
    [
        "sip:43123@203.0.113.7;phone-context=+1",
        "sip:43123@203.0.113.7;Phone-Context=+1",
        "sip:43123@203.0.113.7;%70hone-context=+1",
        "sip:43123@203.0.113.7;phone%2Dcontext=%2B1",
        "sip:43123@203.0.113.7;%2570hone-context=+1",
        "sip:43123@203.0.113.7;phone-context%20=+1",
        "sip:43123;%70hone-context=+1@203.0.113.7",
        "tel:43123;%70hone-context=+1",
        "tel:43123;isub=1;%50HONE-CONTEXT=+1",
        "sip:43123%40evil@203.0.113.7",
    ],
)
def test_number_of_a_target_is_not_the_number_of_a_uri_in_another_context(text: str) -> None:
    rules = Rules(targets=(Target(host="203.0.113.7", number="43123"),))
    assert not decide(Purpose.RUN, Destination("203.0.113.7", user=Uri.parse(text).dialled), rules).allowed


def test_emergency_number_that_is_made_of_a_context_is_refused_in_any_spelling() -> None:
    for text in ("tel:12;%70hone-context=+1", "sip:2@pbx.example.com;phone-conte%78t=+11"):
        assert danger(Uri.parse(text).dialled) == "emergency"


# -- whatever comes


@given(st.text(max_size=60), st.sampled_from([None, "AT", "US", "IT", "BR"]))
def test_no_text_breaks_the_reading_of_numbers(user: str, country: str | None) -> None:
    assert danger(user, country) in (None, "emergency", "emergency prefix", "premium", "satellite")
    assert number_matches(user, user) or normalize(user) != normalize(user)


@given(st.text("0123456789", min_size=1, max_size=15), st.sampled_from(["FR", "IN", "US"]))
def test_country_only_adds_to_what_is_refused_everywhere(user: str, country: str) -> None:
    if danger(user) is not None:
        assert danger(user, country) is not None


def test_long_user_part_is_refused_and_costs_no_time() -> None:
    started = time.process_time()
    for user in (
        "0" * LONGEST,
        "9" * LONGEST + "112",
        "*31#" * 250 + "112",
        "%25" * 340,
        "*#" * 512,
        "," * LONGEST,
        "9," * 512,
        "9*" * 512,
        "9p" * 510 + "112",
        "0#31#" * 204,
    ):
        danger(user[:LONGEST], "FR")
    assert time.process_time() - started < 5
    decision = decide(Purpose.RUN, Destination("127.0.0.1", user="1" * (LONGEST + 1)), Rules())
    assert not decision.allowed


# -- to the letter


@pytest.mark.parametrize(
    ("pattern", "user", "kind", "means"),
    [
        ("112", "112", "emergency", True),
        ("112*", "112", "emergency", False),
        ("?112", "0112", "emergency", False),
        ("112*", "112", None, True),
        ("?112", "0112", None, True),
        ("*", "112", None, True),
        ("???*", "1001", "emergency prefix", False),
        ("1???", "1001", "emergency prefix", True),
        ("10??", "1001", "emergency prefix", True),
        ("+19*", "+19005551234", "premium", False),
        ("+190*", "+19005551234", "premium", True),
        ("+1900*", "+19005551234", "premium", True),
        ("+88*", "+881612345678", "satellite", False),
        ("+881*", "+881612345678", "satellite", True),
    ],
)
def test_pattern_means_a_dangerous_number_only_by_enough_digits(
    pattern: str, user: str, kind: str | None, means: bool
) -> None:
    assert number_matches(pattern, user, kind=kind) is means


def test_number_longer_than_any_is_no_question() -> None:
    assert danger("a" * LONGEST) is None
    with pytest.raises(ValueError, match="A user part of 1025 characters is longer than 1024"):
        danger("a" * (LONGEST + 1))


@pytest.mark.parametrize(
    ("user", "number"),
    [
        ("0043123", "+43123"),
        ("004312", "004312"),
        ("0112345", "0112345"),
        ("01112345", "+12345"),
        ("0111234", "0111234"),
        ("00abcde", "00abcde"),
        ("12345", "12345"),
        ("Alice", "alice"),
        ("tel:+43-1 (2) 3/4.5", "+4312345"),
        ("sip:100@pbx.example.com", "100"),
        ("100:secret@pbx.example.com", "100"),
        ("urn:service:sos", "urn:service:sos"),
        ("43123;phone-context=+1", "+143123"),
        ('43123;phone-context="+1"', "+143123"),
        ("+43123;phone-context=+1", "+43123"),
        ("43123;phone-context=+1-2", "+1243123"),
        ("43123;phone-context=A.example", "43123;phone-context=a.example"),
        ("1;phone-context=+1;phone-context=+2", "1;phone-context=+1;phone-context=+2"),
        ("1;phone-context=+1@a", "+11"),
        ("%2525252531", "%31"),
        ("%25252531", "1"),
        ("1\u20132", "12"),
        ("1\u200b2", "12"),
        ("1\u20e32", "12"),
        ("a\u20132", "a2"),
    ],
)
def test_number_is_compared_without_its_dressing(user: str, number: str) -> None:
    assert normalize(user) == number


def test_place_in_two_countries_has_the_numbers_of_both() -> None:
    rules = Rules(
        targets=(Target(host="*.example.com", country="DE"), Target(network="203.0.113.0/24", country="FR"))
    )
    refused = decide(Purpose.RUN, Destination("pbx.example.com", ("203.0.113.7",), user="15"), rules)
    assert refused.reason.startswith("15 is an emergency number in FR;")


@pytest.mark.parametrize(
    ("pattern", "user", "means"),
    [
        ("*1", "1", True),
        ("*1", "21", True),
        ("*1", "12", False),
        ("1*2", "12", True),
        ("1*2", "1", False),
        ("*12", "2", False),
        ("*12", "112", True),
        ("*1*2", "1212", True),
        ("1**", "1", True),
        ("*1*", "213", True),
        ("?", "1", True),
        ("?", "", False),
        ("?", "#", False),
        ("*", "#", False),
        ("*", "", True),
        ("#*", "#1", True),
        ("*#", "1#", True),
        ("*2", "1#2", False),
        ("1?3", "123", True),
        ("1?3", "13", False),
        ("12", "123", False),
        ("123", "12", False),
        ("?*?", "1", False),
        ("?*?", "12", True),
        ("2*1?3", "2999123", True),
        ("2*1?3", "29991123", True),
    ],
)
def test_wildcard_stands_for_digits(pattern: str, user: str, means: bool) -> None:
    assert number_matches(pattern, user) is means


def test_digits_of_a_domain_are_not_a_country_code() -> None:
    assert danger("900123456;phone-context=pbx43.example.com") is None
    assert danger("900123456;phone-context=+43") == "premium"
    assert danger("15;phone-context=+33") == "emergency"


@pytest.mark.parametrize("user", ["+8701abc", "0900123abc", "+43900123abc", "4390012345abc"])
def test_name_that_begins_like_a_number_is_not_one(user: str) -> None:
    assert danger(user) is None


def test_only_0_and_9_are_dialled_for_an_outside_line() -> None:
    for first in "1257":
        assert danger(f"{first}0043900123456") is None
    for first in "09":
        assert danger(f"{first}0043900123456") == "premium"


def test_up_to_three_trunk_zeros_are_skipped_behind_a_country_code() -> None:
    assert [danger(f"+43{'0' * zeros}112") for zeros in range(5)] == ["emergency"] * 4 + [None]


@pytest.mark.parametrize("user", ["tel:sos", "sip:sos@pbx.example.com", "sos;isub=1"])
def test_sos_in_a_uri_is_an_emergency_number(user: str) -> None:
    assert danger(user) == "emergency"
