from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from callwright.control.web.changes import difference, merge, unresolved

BASE = "name: a\ntitle: A\nsteps:\n  - one\n  - two\nconditions:\n  - mos >= 3.5\n"


def merged(mine: str, theirs: str) -> str:
    return merge(BASE, mine, theirs, their_name="version 3").text


def test_changes_of_different_places_are_both_kept() -> None:
    mine, theirs = BASE.replace("title: A", "title: B"), BASE.replace("3.5", "3.9")
    both = merge(BASE, mine, theirs, their_name="version 3")
    assert both.text == BASE.replace("title: A", "title: B").replace("3.5", "3.9")
    assert both.collisions == ()
    assert unresolved(both.text) is None


def test_lines_added_and_lines_removed_are_both_kept() -> None:
    mine = BASE.replace("  - two\n", "")
    theirs = BASE + "  - loss < 1 %\n"
    assert merged(mine, theirs) == BASE.replace("  - two\n", "") + "  - loss < 1 %\n"


def test_the_same_change_of_both_is_no_collision() -> None:
    same = BASE.replace("3.5", "4.0")
    assert merged(same, same) == same


def test_two_changes_of_one_line_are_held_apart_and_neither_is_lost() -> None:
    found = merge(BASE, BASE.replace("3.5", "3.9"), BASE.replace("3.5", "4.1"), their_name="version 3")
    (collision,) = found.collisions
    assert (collision.mine, collision.theirs) == ("  - mos >= 3.9", "  - mos >= 4.1")
    assert unresolved(found.text) == collision.line == 7
    assert "3.9" in found.text
    assert "4.1" in found.text


@given(st.lists(st.sampled_from("abcd"), max_size=8), *[st.lists(st.sampled_from("abcdxy"), max_size=8)] * 2)
def test_who_changed_nothing_gets_what_the_other_wrote(
    base: list[str], mine: list[str], theirs: list[str]
) -> None:
    def text(lines: list[str]) -> str:
        return "".join(f"{line}\n" for line in lines)

    unchanged = merge(text(base), text(base), text(theirs), their_name="t")
    assert (unchanged.text, unchanged.collisions) == (text(theirs), ())
    ours = merge(text(base), text(mine), text(base), their_name="t")
    assert (ours.text, ours.collisions) == (text(mine), ())
    both = merge(text(base), text(mine), text(theirs), their_name="t").text.split("\n")
    for line in {*mine, *theirs} - {*base}:
        assert line in both  # whatever somebody added is there


def test_a_difference_shows_its_surroundings_and_counts_the_rest() -> None:
    old = "\n".join(str(n) for n in range(1, 21)) + "\n"
    rows = difference(old, old.replace("\n10\n", "\nten\n"))
    assert [(row.kind, row.text) for row in rows if row.kind in ("gone", "new")] == [
        ("gone", "10"),
        ("new", "ten"),
    ]
    assert rows[0].text == "6 unchanged lines"
    assert [row.text for row in rows if row.kind == "same"] == ["7", "8", "9", "11", "12", "13"]
    assert rows[-1].text == "7 unchanged lines"
    assert difference(old, old) == []


def test_markers_that_were_left_in_the_text_are_found() -> None:
    assert unresolved("a\n=======\nb") == 2
    assert unresolved("title: ======= no\n") is None
