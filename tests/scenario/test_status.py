from __future__ import annotations

from callwright.scenario.status import STATUS_NAMES, status
from callwright.sip.status import REASON_PHRASES


def test_a_sentence_calls_a_status_what_the_messages_call_it() -> None:
    assert STATUS_NAMES == REASON_PHRASES


def test_a_registered_status_has_its_own_name_and_another_one_what_the_peer_said() -> None:
    assert status(486, "Go away") == "486 Busy Here"
    assert status(499, "Go away") == "499 Go away"
    assert status(499) == "499"
