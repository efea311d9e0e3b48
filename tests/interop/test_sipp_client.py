"""SIPp calls `callwright answer`: what a caller may do to us, and SIPp has to be content too."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from tests.interop import sipp_scenarios as scenarios
from tests.interop.peers import LOOPBACK, start_callwright
from tests.interop.sipp_scenarios import Answering

pytestmark = pytest.mark.peer


def states(document: dict[str, Any]) -> list[str]:
    return [reached["state"] for reached in document["states"]]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipp_hears_itself_and_so_do_we(tmp_path: Path, transport: str) -> None:
    """SIPp echoes our speech: an echo is audio."""
    with (
        Answering(tmp_path, transport=transport) as answer,
        scenarios.client(tmp_path, "uac", answer.port, tcp=transport == "tcp") as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["direction"] == "incoming"
    assert document["ended_by"] == "remote"
    assert document["caller_identity"] == "sipp"
    assert document["caller_name"] == "SIPp"
    assert document["received"]["lost"] == 0
    assert document["received"]["packets"] in range(50, 70)
    assert 1150 < document["duration_ms"] < 1600


def test_speech_and_a_digit_of_pcap_files_are_heard(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--codec", "PCMA") as answer,
        scenarios.client(tmp_path, "uac_talk", answer.port, echo=False) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["received"]["codec"] == "PCMA"
    assert document["received"]["dtmf"] == "1"
    assert document["received"]["lost"] == 0
    assert document["received"]["level_dbfs"] > -45


def test_sipp_acknowledges_our_183_and_offers_anew_before_the_answer(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--codec", "PCMA", "--early-media", "--after", "1") as answer,
        scenarios.client(tmp_path, "uac_prack", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["reliable_codes"] == [183]
    assert document["updates"] == 1


def test_a_session_that_sipp_never_refreshes_is_ended_by_bye(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--min-se", "4") as answer,
        scenarios.client(tmp_path, "uac_session_timer", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call(code=1)
    assert (document["failure"], document["blame"]) == ("session_expired", "target")
    assert "the peer did not refresh the session of 6 s in time" in document["reason"]
    assert 3_900 < document["duration_ms"] < 4_500


def test_a_late_offer_is_taken(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--codec", "PCMA") as answer,
        scenarios.client(tmp_path, "uac_late_offer", answer.port, echo=False) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["received"]["codec"] == "PCMA"


def test_early_media_is_sent_before_the_answer(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--early-media", "--after", "0.5") as answer,
        scenarios.client(tmp_path, "uac_early_media", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["early_media"] is True  # the echo of what we sent came before the answer
    assert document["provisional_codes"][-1] == 183
    assert document["setup_ms"] >= 490


def test_a_caller_who_gives_up_is_told_so(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--after", "20") as answer,
        scenarios.client(tmp_path, "uac_cancel", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call(code=1)
    assert document["verdict"] == "failed"
    assert "canceled" in states(document)
    assert document["ended_by"] == "remote"
    assert document["sip_code"] == 487
    assert "canceled before" in document["reason"]


def test_a_refusal_on_purpose_is_as_expected(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--reject", "486") as answer,
        scenarios.client(tmp_path, "uac_486", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["verdict"] == "passed"
    assert document["sip_code"] == 486


def test_a_codec_that_we_do_not_have_is_refused_with_488(tmp_path: Path) -> None:
    with Answering(tmp_path) as answer, scenarios.client(tmp_path, "uac_488", answer.port) as peer:
        peer.succeeded()
        document = answer.call(code=1)
    assert document["sip_code"] == 488
    assert document["failure"] == "negotiation"
    assert "G729" in document["reason"] or "audio format" in document["reason"]


def test_held_by_sendonly_and_resumed_by_a_late_offer(tmp_path: Path) -> None:
    with Answering(tmp_path) as answer, scenarios.client(tmp_path, "uac_hold", answer.port) as peer:
        peer.succeeded()
        document = answer.call()
    wanted = ["answered", "confirmed", "held_by_peer", "resumed_by_peer", "ended"]
    assert [state for state in states(document) if state in wanted] == wanted
    assert 40 < document["sent"]["packets"] < 80  # nothing while held


def test_we_hang_up_on_sipp(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--for", "0.8") as answer,
        scenarios.client(tmp_path, "uac_peer_hangs_up", answer.port) as peer,
    ):
        peer.succeeded()
        document = answer.call()
    assert document["ended_by"] == "local"
    assert 750 < document["duration_ms"] < 1200


def test_calls_survive_loss_of_their_signalling(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, "--no-media", calls=6) as answer,
        scenarios.client(tmp_path, "uac", answer.port, "-lost", "10", "-r", "3", calls=6),
    ):
        document = answer.finished(seconds=45)
    assert len(document["calls"]) == 6
    assert document["verdict"] == "passed"
    assert all(call["sip_code"] == 200 for call in document["calls"])


def test_ten_calls_at_once_are_all_heard(tmp_path: Path) -> None:
    with (
        Answering(tmp_path, calls=10) as answer,
        scenarios.client(tmp_path, "uac", answer.port, "-r", "20", calls=10) as peer,
    ):
        peer.succeeded(calls=10)
        document = answer.finished()
    assert [call["verdict"] for call in document["calls"]] == ["passed"] * 10
    assert document["blame"] is None


def test_a_call_that_is_never_acknowledged_ends_after_32_seconds(tmp_path: Path) -> None:
    """And in the same half minute, an INVITE that is never answered at all."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind((LOOPBACK, 0))
        with (
            Answering(tmp_path) as answer,
            scenarios.client(tmp_path, "uac_no_ack", answer.port) as peer,
            start_callwright(
                tmp_path, "call", f"sip:x@{LOOPBACK}:{mute.getsockname()[1]}", "--json"
            ) as silent,
        ):
            peer.succeeded()
            document = answer.call(code=1)
            assert silent.wait(10) == 1, silent.log
    assert document["failure"] == "not_acknowledged"
    assert "ACK" in document["reason"]
    assert document["blame"] == "network"
    assert document["retransmissions"] >= 9  # after 0.5, 1, 2, 4, 4 ... seconds, within 32
    unanswered = silent.document()
    assert unanswered["failure"] == "timeout"
    assert unanswered["blame"] == "network"
    assert "127.0.0.1" in unanswered["reason"]
    assert unanswered["retransmissions"] == 6
    assert unanswered["sip_code"] is None
