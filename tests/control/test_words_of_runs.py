from __future__ import annotations

import msgspec

from callwright.control.runs.result import read_outcome, searched


def words(**call: object) -> tuple[str, ...]:
    return read_outcome(msgspec.json.encode({"verdict": "passed", "calls": [call]})).words


def test_a_run_is_found_by_the_call_ids_and_numbers_of_its_calls() -> None:
    found = words(
        call_id="Abc@192.0.2.1",
        destination="sip:+43%201@pbx.example.com;user=phone",
        local='"Alice" <sip:4101@pbx.example.com>',
        remote="tel:+43-1-234",
        caller_identity=None,
    )
    assert {"abc@192.0.2.1", "abc", "4101", "+43-1-234", "431234"} <= set(found)
    assert "pbx.example.com" not in found


def test_what_is_searched_is_cut_as_what_is_kept() -> None:
    assert searched(" Call-ID: ABC@h ") == ("abc@h", "abc@h")
    assert searched("+43 (1) 234") == ("+43 (1) 234", "431234")
    assert searched("4102") == ("4102", "4102")
    assert searched("basic") == ("basic", "basic")


def test_words_are_bounded_whatever_an_agent_sends() -> None:
    calls = [{"call_id": f"c{n}"} for n in range(5_000)] + [{"call_id": "x" * 300}, {"call_id": "a\0b"}]
    found = read_outcome(msgspec.json.encode({"verdict": "passed", "calls": calls})).words
    assert 2_000 <= len(found) <= 2_010
    assert all(len(word) <= 255 and "\0" not in word for word in words(call_id="x" * 300, remote="a\0b"))


def test_the_longest_post_dial_delay_is_the_runs() -> None:
    document = msgspec.json.encode({"verdict": "passed", "calls": [{"pdd_ms": 20.0}, {"pdd_ms": 55.5}, {}]})
    assert read_outcome(document).pdd_ms == 55.5
    assert read_outcome(b'{"verdict":"passed"}').pdd_ms is None
