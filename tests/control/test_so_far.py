from __future__ import annotations

from callwright.control.keeping.so_far import SoFar


def test_of_what_holds_all_only_the_last_is_kept_and_the_rest_in_order() -> None:
    so_far = SoFar()
    for kind, data in (("states", b"s1"), ("metrics", b"m1"), ("states", b"s2"), ("metrics", b"m2")):
        so_far.keep("one", kind, data)
    assert so_far.told("one") == [b"s2", b"m1", b"m2"]
    assert so_far.told("other") == []


def test_the_run_that_was_silent_longest_goes_when_there_is_too_much() -> None:
    so_far = SoFar(most_octets=100)
    so_far.keep("one", "metrics", bytes(60))
    so_far.keep("two", "metrics", bytes(60))
    assert so_far.told("one") == []
    assert so_far.told("two") == [bytes(60)]
    so_far.keep("two", "ladder", bytes(200))  # of one run alone all is kept
    assert len(so_far.told("two")) == 2


def test_what_has_ended_is_forgotten_and_counts_no_more() -> None:
    so_far = SoFar(most_octets=100)
    so_far.keep("one", "metrics", bytes(60))
    so_far.keep_only(set())
    so_far.keep("two", "metrics", bytes(60))
    so_far.keep("three", "metrics", bytes(30))
    assert so_far.told("two") == [bytes(60)]
    assert so_far.told("one") == []


def test_a_long_run_keeps_its_newest_seconds() -> None:
    so_far = SoFar()
    for n in range(2_100):
        so_far.keep("one", "metrics", b"%d" % n)
    assert so_far.told("one")[0] == b"100"
    assert so_far.told("one")[-1] == b"2099"
