"""Digest authentication: the examples of the RFCs, the choice of challenges, and the server's judgement."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from callwright.sip.digest import (
    Challenge,
    Credentials,
    DigestClient,
    answer_challenge,
    compute_response,
    hash_name,
    parse_parameters,
    select_challenges,
)
from callwright.sip.digest_server import DigestServer, Verdict
from callwright.sip.headers import Headers
from callwright.sip.uri import SipSyntaxError

ALICE = Credentials("alice", "wonderland")


def counting() -> Callable[[int], bytes]:
    """Entropy for tests: every draw differs."""
    drawn = 0

    def draw(size: int) -> bytes:
        nonlocal drawn
        drawn += 1
        return hashlib.sha512(str(drawn).encode()).digest()[:size]

    return draw


def test_the_example_of_rfc_2617() -> None:
    challenge = Challenge.parse(
        'Digest realm="testrealm@host.com", qop="auth,auth-int", '
        'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    assert challenge is not None
    value = answer_challenge(
        challenge,
        Credentials("Mufasa", "Circle Of Life"),
        method="GET",
        uri="/dir/index.html",
        cnonce="0a4f113b",
    )
    scheme, parameters = parse_parameters(value)
    assert scheme == "digest"
    assert parameters["response"] == "6629fae49393a05397450978507c4ef1"
    assert parameters["nc"] == "00000001"
    assert parameters["qop"] == "auth"
    assert parameters["opaque"] == "5ccc069c403ebaf9f0171e9517f40e41"


def test_the_example_of_rfc_2069_as_corrected() -> None:
    response = compute_response(
        algorithm="MD5",
        username="Mufasa",
        realm="testrealm@host.com",
        password="CircleOfLife",
        nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093",
        method="GET",
        uri="/dir/index.html",
    )
    assert response == "1949323746fe6a43ef61f9606e7febea"


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_the_examples_of_rfc_7616(algorithm: str, expected: str) -> None:
    response = compute_response(
        algorithm=algorithm,
        username="Mufasa",
        realm="http-auth@example.org",
        password="Circle of Life",
        nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
        method="GET",
        uri="/dir/index.html",
        qop="auth",
        cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ",
    )
    assert response == expected


def test_the_example_of_rfc_7616_for_sha_512_256_as_corrected() -> None:
    # The response is that of erratum 4897: the text was computed with a draft of the hash.
    response = compute_response(
        algorithm="SHA-512-256",
        username="Jäsøn Doe",
        realm="api@example.org",
        password="Secret, or not?",
        nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK",
        method="GET",
        uri="/doe.json",
        qop="auth",
        cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v",
    )
    assert response == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"


@pytest.mark.parametrize("algorithm", ["MD5-sess", "SHA-256-sess", "SHA-512-256-sess"])
def test_a_session_key_holds_nonce_and_cnonce(algorithm: str) -> None:
    name = {"MD5-sess": "md5", "SHA-256-sess": "sha256", "SHA-512-256-sess": "sha512_256"}[algorithm]

    def digest(text: str) -> str:
        return hashlib.new(name, text.encode()).hexdigest()

    key = digest(f"{digest('u:r:p')}:n:c")
    response = compute_response(
        algorithm=algorithm,
        username="u",
        realm="r",
        password="p",
        nonce="n",
        method="REGISTER",
        uri="sip:r",
        qop="auth-int",
        cnonce="c",
        body=b"hello",
    )
    action = digest(f"REGISTER:sip:r:{digest('hello')}")
    assert response == digest(f"{key}:n:00000001:c:auth-int:{action}")


def test_challenges_are_read_quoted_or_not() -> None:
    challenge = Challenge.parse(
        'digest  nonce=abc , realm="a \\"b\\", c",algorithm="sha-256",qop="auth-int , auth",stale="TRUE",x=,'
    )
    assert challenge == Challenge('a "b", c', "abc", "sha-256", ("auth-int", "auth"), None, True)
    assert Challenge.parse("Basic realm=x") is None
    for broken in ('Digest realm="x', "Digest realm=x", "Digest nonce=1", "Digest", "Digest =1, realm=2"):
        with pytest.raises(SipSyntaxError):
            Challenge.parse(broken)


def test_a_challenge_is_written_as_it_is_read() -> None:
    challenge = Challenge('a "b"', "n", "SHA-256", ("auth", "auth-int"), "o", True)
    assert Challenge.parse(str(challenge)) == challenge


def test_the_strongest_challenge_of_each_realm_is_taken() -> None:
    md5 = Challenge("a", "1", "MD5")
    sha = Challenge("a", "2", "SHA-256", ("auth",))
    sha_later = Challenge("a", "3", "SHA-256-sess", ("auth",))
    best = Challenge("b", "4", "SHA-512-256", ("auth",))
    unknown = Challenge("a", "5", "SHA3-512")
    unknown_protection = Challenge("a", "6", "SHA-512-256", ("auth-conf",))
    other = Challenge("b", "7", "MD5")
    challenges = [unknown, unknown_protection, md5, sha, other, sha_later, best]
    assert select_challenges(challenges) == [sha, best]
    assert select_challenges([unknown]) == []


def challenged(*values: str, proxy: bool = False) -> Headers:
    name = "Proxy-Authenticate" if proxy else "WWW-Authenticate"
    return Headers([(name, value) for value in values])


def test_the_nonce_count_grows_with_every_use() -> None:
    client = DigestClient(ALICE, counting())
    assert client.authorize(method="REGISTER", uri="sip:x") == []
    headers = challenged('Digest realm="x", nonce="n", qop="auth"')
    counts = [parse_parameters(client.answer(headers, method="REGISTER", uri="sip:x")[0][1])[1]["nc"]]
    counts += [
        parse_parameters(client.authorize(method="REGISTER", uri="sip:x")[0][1])[1]["nc"] for _ in range(2)
    ]
    assert counts == ["00000001", "00000002", "00000003"]


def test_proxy_and_server_are_answered_together() -> None:
    client = DigestClient(ALICE, counting())
    client.answer(challenged('Digest realm="p", nonce="1"', proxy=True), method="INVITE", uri="sip:x")
    fields = client.answer(challenged('Digest realm="s", nonce="2"'), method="INVITE", uri="sip:x")
    assert [name for name, _ in fields] == ["Proxy-Authorization", "Authorization"]


def test_a_wrong_password_is_tried_once() -> None:
    client = DigestClient(ALICE, counting())
    first = client.answer(challenged('Digest realm="x", nonce="1", qop="auth"'), method="INVITE", uri="sip:x")
    again = challenged('Digest realm="x", nonce="2", qop="auth"')
    assert client.answer(again, method="INVITE", uri="sip:x", refused=Headers(first)) == []


def test_a_stale_nonce_is_replaced() -> None:
    client = DigestClient(ALICE, counting())
    first = client.answer(challenged('Digest realm="x", nonce="1", qop="auth"'), method="INVITE", uri="sip:x")
    stale = challenged('Digest realm="x", nonce="2", qop="auth", stale=true')
    assert client.answer(stale, method="INVITE", uri="sip:x", refused=Headers(first))


def test_a_nonce_in_its_second_use_may_be_replaced_without_stale() -> None:
    client = DigestClient(ALICE, counting())
    client.answer(challenged('Digest realm="x", nonce="1", qop="auth"'), method="REGISTER", uri="sip:x")
    second = client.authorize(method="REGISTER", uri="sip:x")
    fresh = challenged('Digest realm="x", nonce="2", qop="auth"')
    assert client.answer(fresh, method="REGISTER", uri="sip:x", refused=Headers(second))


def test_credentials_of_a_realm_are_kept_from_others() -> None:
    client = DigestClient(Credentials("alice", "w", realm="home"), counting())
    assert client.answer(challenged('Digest realm="evil", nonce="1"'), method="INVITE", uri="sip:x") == []
    assert "w'" not in repr(client.credentials)


def password_of(name: str) -> str | None:
    return {"alice": "wonderland"}.get(name)


def authorize(server: DigestServer, credentials: Credentials = ALICE, now: float = 0.0) -> DigestClient:
    client = DigestClient(credentials, counting())
    client.answer(challenged(*server.challenges(now)), method="REGISTER", uri="sip:x")
    return client


def judge(server: DigestServer, client: DigestClient, now: float = 1.0, method: str = "REGISTER") -> Verdict:
    values = [value for _, value in client.authorize(method="REGISTER", uri="sip:x", body=b"b")]
    return server.verify(values, method=method, now=now, password_of=password_of, body=b"b").verdict


@pytest.mark.parametrize("qop", [("auth",), ("auth-int",), ("auth-int", "auth")])
@pytest.mark.parametrize(
    "algorithm", ["MD5", "MD5-sess", "SHA-256", "SHA-256-sess", "SHA-512-256", "SHA-512-256-sess"]
)
def test_client_and_server_agree(algorithm: str, qop: tuple[str, ...]) -> None:
    server = DigestServer("home", counting(), algorithms=(algorithm,), qop=qop)
    client = authorize(server)
    assert judge(server, client) is Verdict.ACCEPTED
    assert judge(server, client) is Verdict.ACCEPTED


def test_the_server_refuses_what_is_wrong() -> None:
    server = DigestServer("home", counting())
    assert judge(server, authorize(server, Credentials("alice", "wrong"))) is Verdict.REFUSED
    assert judge(server, authorize(server, Credentials("bob", "wonderland"))) is Verdict.REFUSED
    assert judge(server, authorize(server, Credentials("bob", ""))) is Verdict.REFUSED
    assert judge(server, authorize(server), method="INVITE") is Verdict.REFUSED
    for value in ('Digest realm="home"', 'Digest realm="home", username="alice", nonce="', "Digest realm"):
        judgement = server.verify([value], method="REGISTER", now=1.0, password_of=password_of)
        assert judgement.verdict is Verdict.REFUSED
    for values in ([], ["Basic x"], ['Digest realm="other"']):
        judgement = server.verify(values, method="REGISTER", now=1.0, password_of=password_of)
        assert judgement.verdict is Verdict.ABSENT


def test_an_expired_or_foreign_nonce_is_stale() -> None:
    server = DigestServer("home", counting(), lifetime=60.0)
    client = authorize(server)
    assert judge(server, client, now=59.9) is Verdict.ACCEPTED
    assert judge(server, client, now=60.0) is Verdict.STALE
    other = DigestServer("home", lambda size: b"\x07" * size)
    assert judge(server, authorize(other)) is Verdict.STALE
    assert judge(server, authorize(server, now=100.0), now=1.0) is Verdict.STALE
    assert all(value.endswith("stale=true") for value in server.challenges(0.0, stale=True))


def test_a_nonce_that_is_good_for_one_request_is_no_wrong_password() -> None:
    """RFC 2069 as a FRITZ!Box has it: no qop, so no nc that tells of the first use, and never stale."""
    client = DigestClient(ALICE, counting())

    def challenge(nonce: str) -> Headers:
        return Headers([("WWW-Authenticate", f'Digest realm="fritz.box", nonce="{nonce}"')])

    answered = client.answer(challenge("n1"), method="REGISTER", uri="sip:x", refused=Headers())
    for nonce in ("n2", "n3", "n4"):
        again = client.authorize(method="REGISTER", uri="sip:x")
        assert again == answered, "the next request tries the nonce that served before"
        answered = client.answer(challenge(nonce), method="REGISTER", uri="sip:x", refused=Headers(again))
        assert f'nonce="{nonce}"' in answered[0][1]
    refused = client.answer(challenge("n5"), method="REGISTER", uri="sip:x", refused=Headers(answered))
    assert refused == [], "its first answer was refused: now it is the password"
    same = client.answer(challenge("n6"), method="REGISTER", uri="sip:x")
    assert client.answer(challenge("n6"), method="REGISTER", uri="sip:x", refused=Headers(same)) == []


def test_a_replayed_answer_is_refused() -> None:
    server = DigestServer("home", counting())
    values = [value for _, value in authorize(server).authorize(method="REGISTER", uri="sip:x")]
    verdicts = [
        server.verify(values, method="REGISTER", now=1.0, password_of=password_of).verdict for _ in range(2)
    ]
    assert verdicts == [Verdict.ACCEPTED, Verdict.STALE]


def test_an_answer_without_qop_may_use_its_nonce_once() -> None:
    server = DigestServer("home", counting(), algorithms=("MD5",), qop=())
    client = authorize(server)
    assert judge(server, client) is Verdict.ACCEPTED
    assert judge(server, client) is Verdict.STALE


def test_what_the_server_forgets_cannot_be_replayed() -> None:
    server = DigestServer("home", counting(), max_nonces=2)
    clients = [authorize(server, now=float(moment)) for moment in range(3)]
    values = [value for _, value in clients[0].authorize(method="REGISTER", uri="sip:x")]
    first = server.verify(values, method="REGISTER", now=5.0, password_of=password_of)
    assert first.verdict is Verdict.ACCEPTED
    assert [judge(server, client, now=5.0) for client in clients[1:]] == [Verdict.ACCEPTED] * 2
    again = server.verify(values, method="REGISTER", now=5.0, password_of=password_of)
    assert again.verdict is Verdict.STALE


def test_a_server_names_the_algorithms_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="SHA3"):
        DigestServer("home", counting(), algorithms=("SHA3",))


# -- the client's side, to the letter


def test_first_of_two_parameters_of_a_name_counts() -> None:
    assert parse_parameters('Digest realm="first", REALM="second"') == ("digest", {"realm": "first"})


def test_broken_parameter_is_pointed_at() -> None:
    for text, at in (("Digest realm=x, =y", 14), ("Digest =1", 7)):
        with pytest.raises(SipSyntaxError) as told:
            parse_parameters(text)
        assert told.value.position == at
        assert told.value.reason == "a Digest parameter is not name=value"


def test_challenge_has_the_defaults_of_the_rfc() -> None:
    bare = Challenge.parse('Digest realm="x", nonce="n", algorithm=')
    assert bare == Challenge("x", "n", "MD5", (), None, False)
    assert bare == Challenge("x", "n")
    assert str(bare) == 'Digest realm="x", nonce="n", algorithm=MD5'


def test_strength_is_that_of_the_hash() -> None:
    strengths = [
        Challenge("x", "n", algorithm, qop).strength
        for algorithm in ("SHA3-512", "MD5", "md5-sess", "SHA-256", "SHA-512-256-sess")
        for qop in ((), ("auth",), ("auth-int",), ("auth-conf",))
    ]
    assert strengths == [0, 0, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 2, 2, 2, 0, 3, 3, 3, 0]


def test_hash_that_python_lacks_is_not_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    """MD5 is used even where a FIPS build does not list it."""
    monkeypatch.setattr(hashlib, "algorithms_available", set[str]())
    assert [hash_name(name) for name in ("MD5", "SHA-256-sess", "SHA-512-256")] == ["md5", "sha256", None]


def test_md5_is_asked_for_as_no_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """A FIPS build refuses it otherwise."""
    new = hashlib.new

    def strict(name: str, data: bytes = b"", *, usedforsecurity: bool = True) -> Any:
        assert not usedforsecurity
        return new(name, data)

    monkeypatch.setattr(hashlib, "new", strict)
    test_the_example_of_rfc_2069_as_corrected()


def test_answer_without_qop_is_that_of_rfc_2069() -> None:
    def answer(challenge: Challenge) -> str:
        return answer_challenge(challenge, ALICE, method="REGISTER", uri="sip:x", cnonce="c", body=b"b")

    plain = compute_response(
        algorithm="MD5",
        username="alice",
        realm="x",
        password="wonderland",
        nonce="n",
        method="REGISTER",
        uri="sip:x",
    )
    assert answer(Challenge("x", "n")) == (
        f'Digest username="alice", realm="x", nonce="n", uri="sip:x", response="{plain}", algorithm=MD5'
    )
    assert answer(Challenge("x", "n", "MD5-sess", opaque="o")).endswith(
        ', algorithm=MD5-sess, cnonce="c", opaque="o"'
    )
    assert answer(Challenge("x", "n", qop=("auth-int",), opaque="")).endswith(
        ', algorithm=MD5, cnonce="c", opaque="", qop=auth-int, nc=00000001'
    )


def test_auth_is_preferred_to_auth_int() -> None:
    for offered, taken in ((("auth-int", "auth"), "auth"), (("auth-conf", "auth-int"), "auth-int")):
        text = answer_challenge(
            Challenge("x", "n", qop=offered), ALICE, method="REGISTER", uri="sip:x", cnonce="c"
        )
        assert parse_parameters(text)[1]["qop"] == taken


def test_unsupported_challenge_is_not_answered() -> None:
    with pytest.raises(ValueError, match="SHA3"):
        answer_challenge(Challenge("x", "n", "SHA3"), ALICE, method="BYE", uri="sip:x", cnonce="c")
    with pytest.raises(ValueError, match="unknown digest algorithm SHA3"):
        compute_response(
            algorithm="SHA3", username="", realm="", password="", nonce="", method="", uri="", cnonce=""
        )


def test_cnonce_has_96_bits_and_stays_as_long_as_the_nonce() -> None:
    client = DigestClient(ALICE, counting())
    first = client.answer(challenged('Digest realm="x", nonce="1", qop="auth"'), method="BYE", uri="sip:x")
    again = client.authorize(method="BYE", uri="sip:x")
    fresh = client.answer(challenged('Digest realm="x", nonce="2", qop="auth"'), method="BYE", uri="sip:x")
    cnonces = [parse_parameters(fields[0][1])[1]["cnonce"] for fields in (first, again, fresh)]
    assert len(cnonces[0]) == 24
    assert cnonces[0] == cnonces[1] != cnonces[2]


def test_wrong_password_is_not_sent_again() -> None:
    client = DigestClient(ALICE, counting())
    first = client.answer(challenged('Digest realm="x", nonce="1", qop="auth"'), method="BYE", uri="sip:x")
    again = challenged('Digest realm="x", nonce="2", qop="auth"')
    assert client.answer(again, method="BYE", uri="sip:x", refused=Headers(first)) == []
    assert client.authorize(method="BYE", uri="sip:x") == []


def test_only_an_answer_to_that_realm_tells_of_a_wrong_password() -> None:
    headers = challenged("Digest realm=", "Basic realm=x", 'Digest realm="x", nonce="2", qop="auth"')
    for written in ('Digest realm="', 'Digest realm="y", nonce="2"', "Basic YTpi"):
        client = DigestClient(ALICE, counting())
        refused = Headers([("Authorization", written)])
        answered = client.answer(headers, method="BYE", uri="sip:x", refused=refused)
        assert [name for name, _ in answered] == ["Authorization"]
    client = DigestClient(ALICE, counting())
    mixed = Headers([("Authorization", 'Digest realm="'), ("Authorization", 'Digest realm="x", nonce="1"')])
    assert client.answer(headers, method="BYE", uri="sip:x", refused=mixed) == []


def test_same_nonce_again_means_that_the_password_is_wrong() -> None:
    client = DigestClient(ALICE, counting())
    headers = challenged('Digest realm="x", nonce="1", qop="auth"')
    client.answer(headers, method="BYE", uri="sip:x")
    second = client.authorize(method="BYE", uri="sip:x")
    assert client.answer(headers, method="BYE", uri="sip:x", refused=Headers(second)) == []


def test_credentials_of_one_realm_answer_it_beside_another() -> None:
    client = DigestClient(Credentials("alice", "w", realm="home"), counting())
    headers = challenged('Digest realm="evil", nonce="1"', 'Digest realm="home", nonce="2"')
    fields = client.answer(headers, method="BYE", uri="sip:x")
    assert [parse_parameters(value)[1]["realm"] for _, value in fields] == ["home"]


# -- the server's side, to the letter


def test_nonce_is_time_salt_peer_and_seal() -> None:
    draws = []

    def entropy(size: int) -> bytes:
        draws.append(size)
        return bytes(range(size))

    server = DigestServer("home", entropy)
    assert draws == [32]

    def parts(now: float, peer: str = "") -> bytes:
        nonce = parse_parameters(server.challenges(now, peer=peer)[0])[1]["nonce"]
        assert "=" not in nonce
        return base64.urlsafe_b64decode(nonce + "=" * (-len(nonce) % 4))

    made = parts(1.5, "192.0.2.1")
    assert draws == [32, 8]
    assert made[:16] == (1500).to_bytes(8, "big") + bytes(range(8))
    assert len(made) == 8 + 8 + 6 + 16
    assert made[16:22] != parts(1.5, "192.0.2.2")[16:22]
    assert made[22:] != parts(1.501, "192.0.2.1")[22:]
    assert parts(-1.0)[:8] == bytes(8)


def test_challenge_of_a_server_is_stale_only_when_that_is_said() -> None:
    server = DigestServer("home", counting())
    assert [Challenge.parse(value) is not None for value in server.challenges(0.0)] == [True, True]
    assert not any("stale" in value for value in server.challenges(0.0))


def test_nonce_lives_for_five_minutes() -> None:
    server = DigestServer("home", counting())
    client = authorize(server, now=10.0)
    assert judge(server, client, now=10.0) is Verdict.ACCEPTED
    assert judge(server, client, now=309.9) is Verdict.ACCEPTED
    assert judge(server, client, now=310.0) is Verdict.STALE


def test_server_without_an_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="none given"):
        DigestServer("home", counting(), algorithms=())


@pytest.mark.parametrize(
    ("values", "username"),
    [
        ([], None),
        (["Basic YTpi"], None),
        (['Digest realm="'], None),
        (['Digest realm="other", username="bob"'], None),
        (['Digest realm="home"'], None),
        (['Digest realm="home", username=""'], None),
        (['Digest realm="other", username="bob"', 'Digest realm="home", username="alice"'], "alice"),
        (['Digest realm="', 'Digest realm="home", username="alice"'], None),
    ],
)
def test_server_says_whose_credentials_these_claim_to_be(values: list[str], username: str | None) -> None:
    assert DigestServer("home", counting()).claimed(values) == username


def answered(server: DigestServer, changes: Mapping[str, str | None], peer: str = "") -> str:
    """The right answer of alice for REGISTER, with some parameters changed, None: left out."""
    challenge = Challenge.parse(server.challenges(0.0, peer=peer)[0])
    assert challenge is not None
    text = answer_challenge(challenge, ALICE, method="REGISTER", uri="sip:x", cnonce="c")
    parameters: dict[str, str | None] = {**parse_parameters(text)[1], **changes}
    return "Digest " + ", ".join(
        f'{name}="{value}"' for name, value in parameters.items() if value is not None
    )


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"username": None}, "username, nonce, uri or response is missing"),
        ({"username": ""}, "username, nonce, uri or response is missing"),
        ({"nonce": None}, "username, nonce, uri or response is missing"),
        ({"response": None}, "username, nonce, uri or response is missing"),
        ({"uri": None}, "username, nonce, uri or response is missing"),
        ({"algorithm": "SHA-512-256"}, "an algorithm that was not offered"),
        ({"qop": "auth-int"}, "a protection that was not offered, or no cnonce"),
        ({"cnonce": None}, "a protection that was not offered, or no cnonce"),
        ({"cnonce": ""}, "a protection that was not offered, or no cnonce"),
        ({"nc": None}, "nc is not eight hex digits"),
        ({"nc": "0000001"}, "nc is not eight hex digits"),
        ({"nc": "000000001"}, "nc is not eight hex digits"),
        ({"nc": "0000000g"}, "nc is not eight hex digits"),
        ({"nc": "0x000001"}, "nc is not eight hex digits"),
        ({"nc": "00000002"}, "wrong user name or password"),
        ({"uri": "sip:y"}, "wrong user name or password"),
        ({"response": "0" * 64}, "wrong user name or password"),
        ({"username": "bob"}, "wrong user name or password"),
        ({"qop": None}, "wrong user name or password"),
    ],
)
def test_refusal_of_the_server_says_what_is_wrong(changes: dict[str, str | None], reason: str) -> None:
    server = DigestServer("home", counting())
    told = server.verify([answered(server, changes)], method="REGISTER", now=1.0, password_of=password_of)
    assert (told.verdict, told.reason) == (Verdict.REFUSED, reason)
    assert told.username == changes.get("username", "alice")


def test_right_answer_is_accepted_in_either_case_and_behind_other_realms() -> None:
    server = DigestServer("home", counting())
    same: list[dict[str, str | None]] = [{}, {"qop": "AUTH"}, {"algorithm": "sha-256"}]
    for changes in same:
        values = ['Digest realm="other", username="bob"', "Basic YTpi", answered(server, changes)]
        told = server.verify(values, method="REGISTER", now=1.0, password_of=password_of)
        assert (told.verdict, told.reason, told.username) == (Verdict.ACCEPTED, "", "alice")
    challenge = Challenge.parse(server.challenges(0.0)[0])
    assert challenge is not None
    text = answer_challenge(
        challenge, ALICE, method="REGISTER", uri="sip:x", cnonce="c", nonce_count=0xABCDEF
    )
    response = parse_parameters(text)[1]["response"]
    shouted = text.replace(response, response.upper())
    told = server.verify([shouted], method="REGISTER", now=1.0, password_of=password_of)
    assert told.verdict is Verdict.ACCEPTED


def test_answer_without_an_algorithm_is_of_md5() -> None:
    for algorithms, verdict in ((("MD5",), Verdict.ACCEPTED), (("SHA-256",), Verdict.REFUSED)):
        server = DigestServer("home", counting(), algorithms=algorithms)
        value = answered(server, {"algorithm": None})
        told = server.verify([value], method="REGISTER", now=1.0, password_of=password_of)
        assert told.verdict is verdict


def test_unreadable_credentials_are_refused_with_the_reason() -> None:
    server = DigestServer("home", counting())
    told = server.verify(["Digest realm"], method="REGISTER", now=1.0, password_of=password_of)
    assert (told.verdict, told.reason) == (Verdict.REFUSED, "a Digest parameter is not name=value")
    told = server.verify([], method="REGISTER", now=1.0, password_of=password_of)
    assert (told.verdict, told.reason) == (Verdict.ABSENT, "no credentials for this realm")
    assert (told.username, told.same_peer) == (None, True)


def test_wrong_password_tells_whether_the_nonce_was_given_to_that_peer() -> None:
    server = DigestServer("home", counting())
    wrong = answered(server, {"response": "0" * 64}, "192.0.2.1")
    for peer, same in (("192.0.2.1", True), ("192.0.2.2", False), ("", False)):
        told = server.verify([wrong], method="REGISTER", now=1.0, password_of=password_of, peer=peer)
        assert (told.verdict, told.same_peer) == (Verdict.REFUSED, same)


@pytest.mark.parametrize("nonce", ["", "n", "no base64!", "AAAA", "A" * 51, "A" * 52, "A" * 40])
def test_nonce_of_somebody_else_is_stale_whatever_the_password(nonce: str) -> None:
    server = DigestServer("home", counting())
    for name in ("alice", "bob"):
        value = answered(server, {"nonce": nonce, "username": name})
        told = server.verify([value], method="REGISTER", now=1.0, password_of=password_of)
        assert (told.verdict, told.reason, told.username) == (Verdict.STALE, "the nonce is not ours", name)


def test_nonce_of_another_realm_is_not_ours() -> None:
    home, other = (DigestServer(realm, lambda size: b"7" * size) for realm in ("home", "other"))
    theirs = parse_parameters(other.challenges(0.0)[0])[1]["nonce"]
    told = home.verify(
        [answered(home, {"nonce": theirs})], method="REGISTER", now=1.0, password_of=password_of
    )
    assert (told.verdict, told.reason) == (Verdict.STALE, "the nonce is not ours")


def test_nonce_count_has_to_grow() -> None:
    server = DigestServer("home", counting())
    challenge = Challenge.parse(server.challenges(0.0)[0])
    assert challenge is not None
    verdicts = []
    for count in (0x10, 0x11, 0x11, 0x0F, 0x12):
        text = answer_challenge(
            challenge, ALICE, method="REGISTER", uri="sip:x", cnonce="c", nonce_count=count
        )
        told = server.verify([text], method="REGISTER", now=1.0, password_of=password_of)
        verdicts.append((told.verdict, told.reason))
    stale = (Verdict.STALE, "the nonce count was used before")
    accepted = (Verdict.ACCEPTED, "")
    assert verdicts == [accepted, accepted, stale, stale, accepted]


def test_server_forgets_the_oldest_nonce_and_takes_none_as_old() -> None:
    server = DigestServer("home", counting(), max_nonces=2)
    clients = [authorize(server, now=moment) for moment in (1.0, 2.0, 3.0, 4.0)]
    unused = authorize(server, now=2.0)
    assert [judge(server, client, now=5.0) for client in clients] == [Verdict.ACCEPTED] * 4
    assert judge(server, clients[1], now=5.0) is Verdict.STALE
    assert judge(server, unused, now=5.0) is Verdict.STALE, "as old as what was forgotten"
    assert judge(server, clients[2], now=5.0) is Verdict.ACCEPTED
    assert judge(server, clients[3], now=5.0) is Verdict.ACCEPTED


def test_server_forgets_what_has_expired_before_what_has_not() -> None:
    server = DigestServer("home", counting(), max_nonces=2, lifetime=10.0)
    expired, alive = authorize(server, now=0.0), authorize(server, now=5.0)
    assert judge(server, alive, now=6.0) is Verdict.ACCEPTED
    assert judge(server, expired, now=9.9) is Verdict.ACCEPTED
    unused = authorize(server, now=4.0)
    assert judge(server, authorize(server, now=10.0), now=10.0) is Verdict.ACCEPTED
    assert judge(server, alive, now=10.0) is Verdict.ACCEPTED
    assert judge(server, unused, now=10.0) is Verdict.ACCEPTED


def test_second_use_of_a_remembered_nonce_forgets_no_other() -> None:
    server = DigestServer("home", counting(), max_nonces=2)
    first, second = authorize(server, now=1.0), authorize(server, now=2.0)
    for _ in range(3):
        assert judge(server, first, now=3.0) is Verdict.ACCEPTED
        assert judge(server, second, now=3.0) is Verdict.ACCEPTED


def test_unsupported_protection_is_not_answered() -> None:
    with pytest.raises(ValueError, match="auth-conf"):
        answer_challenge(
            Challenge("x", "n", qop=("auth-conf",)), ALICE, method="BYE", uri="sip:x", cnonce="c"
        )


def test_nothing_is_tried_again_where_no_challenge_can_be_answered() -> None:
    client = DigestClient(ALICE, counting())
    assert client.answer(challenged('Digest realm="x", nonce="1"'), method="BYE", uri="sip:x")
    for value in ("Basic realm=x", 'Digest realm="x', 'Digest realm="x", nonce="2", algorithm=SHA3'):
        assert client.answer(challenged(value), method="BYE", uri="sip:x") == []
