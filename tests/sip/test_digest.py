"""Digest authentication: the examples of the RFCs, the choice of challenges, and the server's judgement."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest

from callwright.sip.digest import (
    Challenge,
    Credentials,
    DigestClient,
    answer_challenge,
    compute_response,
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
