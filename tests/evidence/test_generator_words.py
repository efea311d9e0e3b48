from __future__ import annotations

from callwright.evidence.generator_words import ranged


def test_sentences_that_differ_in_figures_alone_become_one_with_its_range() -> None:
    told = ranged(["RTP was sent 101 ms late", "RTP was sent 11 ms late", "RTP was sent 20 ms late"])
    assert told == ["RTP was sent 11 to 101 ms late"]


def test_the_most_is_enough_where_the_sentence_says_up_to() -> None:
    told = ranged(["calls were placed up to 131 ms late", "calls were placed up to 229 ms late"])
    assert told == ["calls were placed up to 229 ms late"]


def test_several_reasons_of_one_second_are_told_apart() -> None:
    told = ranged(
        ["3 datagrams dropped by our sockets; a loop used 98 % of its core", "a loop used 99.5 % of its core"]
    )
    assert told == ["3 datagrams dropped by our sockets", "a loop used 98 to 99.5 % of its core"]


def test_nothing_said_is_nothing_told() -> None:
    assert ranged([]) == ranged([""]) == []
