"""A redirection leads only to where the person typed, or near."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.acceptance.scripted import ScriptedPeer, response
from tests.interop.peers import run_callwright


def test_a_redirection_into_the_world_is_refused_by_policy_with_exit_2(tmp_path: Path) -> None:
    def answer(peer: ScriptedPeer, message: str, source: tuple[str, int]) -> Sequence[bytes]:
        if not message.startswith("INVITE"):
            return []
        return [response(message, "302 Moved Temporarily", extra=["Contact: <sip:b@203.0.113.77>"])]

    with ScriptedPeer(answer) as peer:
        ended = run_callwright(tmp_path, "call", peer.uri, "--follow", "--json")
    assert ended.process.returncode == 2, ended.log
    document = ended.document()
    assert (document["verdict"], document["blame"], document["failure"]) == ("error", "test", "policy")
    assert "203.0.113.77" in document["reason"]
    assert "--allow" not in document["reason"]
