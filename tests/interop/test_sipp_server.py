"""`callwright call` against SIPp: real transactions, real RTP, and SIPp has to be content too."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from tests.interop import sipp_scenarios as scenarios
from tests.interop.peers import run_callwright, sipp_messages

pytestmark = pytest.mark.peer


def call(folder: Path, uri: str, *arguments: str, code: int = 0) -> dict[str, Any]:
    """`callwright call` for a second and a half; its document, after that exit code."""
    ended = run_callwright(folder, "call", uri, "--for", "1.5", "--json", *arguments)
    assert ended.process.returncode == code, ended.log
    return ended.document()


def states(document: dict[str, Any]) -> list[str]:
    return [reached["state"] for reached in document["states"]]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_call_to_an_echo_passes(tmp_path: Path, transport: str) -> None:
    with scenarios.server(tmp_path, "uas", tcp=transport == "tcp") as peer:
        document = call(tmp_path, peer.uri, "--transport", transport)
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["blame"] is None
    assert document["sip_code"] == 200
    assert document["ended_by"] == "local"
    assert document["provisional_codes"] == [180]
    assert document["peer"].startswith(f"{transport}:")
    assert 0 < document["pdd_ms"] <= document["setup_ms"] < 500
    assert 1450 <= document["duration_ms"] <= 1800
    assert document["sent"]["packets"] in range(72, 79)
    assert document["received"]["lost"] == 0
    assert document["received"]["packets"] in range(65, document["sent"]["packets"] + 1)
    assert document["received"]["mos"] > 4.2
    assert document["sent"]["mos"] is None  # SIPp sends no RTCP, so nobody knows


@pytest.mark.parametrize("qop", ["", ', qop="auth"'])
def test_a_challenge_is_answered_as_sipp_verifies_it(tmp_path: Path, qop: str) -> None:
    with scenarios.server(tmp_path, "uas_auth", keys={"qop": qop}) as peer:
        document = call(tmp_path, peer.uri, "--user", "1001", "--password", "secret", "--no-media")
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["authenticated"] is True


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()


@pytest.mark.parametrize("qop", ["", ', qop="auth"'])
def test_the_challenge_of_a_proxy_is_answered(tmp_path: Path, qop: str) -> None:
    with scenarios.server(tmp_path, "uas_proxy_auth", keys={"qop": qop}) as peer:
        document = call(tmp_path, peer.uri, "--user", "1001", "--password", "secret", "--no-media")
        peer.succeeded()
    assert document["authenticated"] is True
    # SIPp's verifyauth knows only Authorization, so RFC 2617 section 3.2.2 is worked out here.
    sent = re.search(r"^Proxy-Authorization: Digest (.*?)\r?$", sipp_messages(tmp_path), re.MULTILINE)
    assert sent is not None
    given = {
        name: quoted or bare for name, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', sent[1])
    }
    ha1, ha2 = _md5("1001", "sipp", "secret"), _md5("INVITE", given["uri"])
    middle = [given["nc"], given["cnonce"], given["qop"]] if qop else []
    assert given["response"] == _md5(ha1, given["nonce"], *middle, ha2)


def test_a_wrong_password_is_the_tests_own_fault(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_auth", keys={"qop": ""}) as peer:
        document = call(tmp_path, peer.uri, "--user", "1001", "--password", "wrong", code=1)
        peer.succeeded()
    assert document["verdict"] == "failed"
    assert document["sip_code"] == 403
    assert "403" in document["reason"]


def test_without_a_password_the_challenge_is_named(tmp_path: Path) -> None:
    keys = {"status": "407", "phrase": "Proxy Authentication Required", "extra": "X-None: 0"}
    with scenarios.server(tmp_path, "uas_reject", keys=keys) as peer:
        document = call(tmp_path, peer.uri, code=1)
        peer.succeeded()
    assert document["blame"] == "test"
    assert "407" in document["reason"]
    assert "password" in document["reason"]


def test_our_late_offer_is_answered_in_the_ack(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_late_offer") as peer:
        document = call(tmp_path, peer.uri, "--late-offer", "--codec", "PCMA")
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["codec"] == "PCMA"
    assert document["received"]["mos"] > 4.2


def test_audio_before_the_answer_is_early_media(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_early_media") as peer:
        document = call(tmp_path, peer.uri, "--codec", "PCMA", "--codec", "PCMU")
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["early_media"] is True
    assert 500 < document["early_media_ms"] < 1200
    assert "early_media" in states(document)
    assert document["provisional_codes"] == [183]
    assert document["setup_ms"] > 750 > document["pdd_ms"]


def test_a_session_is_asked_for_as_long_as_the_peer_wants_and_refreshed(tmp_path: Path) -> None:
    wishes = ("--session-expires", "4", "--min-se", "4", "--for", "4", "--no-media")
    with scenarios.server(tmp_path, "uas_session_timer") as peer:
        document = call(tmp_path, peer.uri, *wishes)
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["session_expires_s"] == 6
    assert document["session_refreshes"] == 1


def test_a_reliable_183_is_acknowledged_and_offered_anew(tmp_path: Path) -> None:
    wishes = ("--prack", "required", "--early-update", "0.2", "--codec", "PCMA")
    with scenarios.server(tmp_path, "uas_prack") as peer:
        document = call(tmp_path, peer.uri, *wishes)
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["reliable_codes"] == [183]
    assert document["updates"] == 1
    assert document["codec"] == "PCMA"


@pytest.mark.parametrize(
    ("status", "phrase", "extra", "words"),
    [
        ("486", "Busy Here", "X-None: 0", "busy"),
        ("503", "Service Unavailable", "Retry-After: 30", "overloaded"),
        ("603", "Decline", "X-None: 0", "603"),
    ],
)
def test_a_refusal_is_told_with_its_code(
    tmp_path: Path, status: str, phrase: str, extra: str, words: str
) -> None:
    with scenarios.server(
        tmp_path, "uas_reject", keys={"status": status, "phrase": phrase, "extra": extra}
    ) as peer:
        document = call(tmp_path, peer.uri, code=1)
        peer.succeeded()
    assert document["verdict"] == "failed"
    assert document["blame"] == "target"
    assert document["sip_code"] == int(status)
    assert status in document["reason"]
    assert words in document["reason"]
    assert document["received"]["packets"] is None
    assert document["ended_by"] == "remote"


def test_a_redirect_is_told_but_not_followed_unasked(tmp_path: Path) -> None:
    keys = {"status": "302", "phrase": "Moved Temporarily", "extra": "Contact: <sip:else@127.0.0.1:9>"}
    with scenarios.server(tmp_path, "uas_reject", keys=keys) as peer:
        document = call(tmp_path, peer.uri, code=1)
        peer.succeeded()
    assert document["redirected_to"] == ["sip:else@127.0.0.1:9"]
    assert "302" in document["reason"]


def test_a_redirect_is_followed_on_request(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas", name="new") as new:
        keys = {"status": "302", "phrase": "Moved Temporarily", "extra": f"Contact: <{new.uri}>"}
        with scenarios.server(tmp_path, "uas_reject", keys=keys, name="old") as old:
            document = call(tmp_path, old.uri, "--follow")
            old.succeeded()
        new.succeeded()
    assert document["verdict"] == "passed"
    assert document["redirected_to"] == [new.uri]
    assert states(document).index("redirected") < states(document).index("answered")
    assert document["sip_code"] == 200


def test_every_provisional_is_seen_in_its_order(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_provisionals") as peer:
        document = call(tmp_path, peer.uri)
        peer.succeeded()
    assert document["verdict"] == "passed"
    assert document["provisional_codes"] == [100, 180, 181, 182, 180, 183]
    assert document["pdd_ms"] < 100 < 500 < document["setup_ms"]


def test_the_peer_holds_resumes_and_hangs_up(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_hold") as peer:
        ended = run_callwright(tmp_path, "call", peer.uri, "--for", "20", "--json")
        peer.succeeded()
    document = ended.document()
    assert ended.process.returncode == 0, ended.log
    wanted = ["answered", "confirmed", "held_by_peer", "resumed_by_peer", "ended"]
    assert [state for state in states(document) if state in wanted] == wanted
    assert document["ended_by"] == "remote"
    # Held, we sent nothing: two of the three thirds of the call remain.
    assert 55 < document["sent"]["packets"] < 90
    assert document["received"]["lost"] == 0


def test_the_peer_hangs_up(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_bye") as peer:
        ended = run_callwright(tmp_path, "call", peer.uri, "--for", "20", "--json")
        peer.succeeded()
    document = ended.document()
    assert document["verdict"] == "passed"
    assert document["ended_by"] == "remote"
    assert 900 < document["duration_ms"] < 1500


def test_nobody_answers_so_the_call_is_canceled(tmp_path: Path) -> None:
    with scenarios.server(tmp_path, "uas_canceled") as peer:
        document = call(tmp_path, peer.uri, "--ring", "0.7", code=1)
        peer.succeeded()
    assert document["verdict"] == "failed"
    assert document["sip_code"] == 487
    assert "canceled" in states(document)
    assert document["pdd_ms"] is not None
    assert document["setup_ms"] is None
    assert document["failure"] == "no_answer"


def test_a_call_survives_loss_of_its_signalling(tmp_path: Path) -> None:
    """`-lost 10`: SIPp drops a tenth of what it sends and of what it gets. One call in a hundred it does not
    take up again itself: where its 180 and its 200 were both lost."""
    with scenarios.server(tmp_path, "uas", "-lost", "10", calls=6) as peer:
        verdicts = []
        for _ in range(6):
            ended = run_callwright(tmp_path, "call", peer.uri, "--for", "0.2", "--json", "--no-media")
            verdicts.append(ended.document()["verdict"])
        assert verdicts.count("passed") >= 5, verdicts
        peer.peer.wait(45)
        told = peer.statistics()
    # A call whose last 200 SIPp lost itself may count as it likes, but every call came.
    assert told["successful"] + told["failed"] == 6
