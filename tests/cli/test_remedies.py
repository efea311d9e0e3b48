"""What would let a refused thing through, in the words of each verb and of the platform."""

from __future__ import annotations

from callwright.cli.remedies import of_callers, with_allow, without_allow
from callwright.control.runs.remedies import by_administrator
from callwright.policy.remedy import Remedy, RemedyKind

PLACE = Remedy(RemedyKind.PERMIT_PLACE, "203.0.113.7")
NUMBER = Remedy(RemedyKind.PERMIT_NUMBER, "pbx.example.com", "112")


def test_each_verb_names_a_flag_that_it_has() -> None:
    assert with_allow(PLACE) == "Add --allow 203.0.113.7 if you may test it."
    assert without_allow(PLACE) == "`callwright run --allow 203.0.113.7` permits it."
    assert of_callers(PLACE) == "Add --allow-media 203.0.113.7 if callers may bring media from there."


def test_the_platform_names_who_may() -> None:
    assert by_administrator(PLACE) == "An administrator can permit 203.0.113.7 on the page Targets."
    assert "an administrator can permit this number at this host" in by_administrator(NUMBER)


def test_a_number_is_permitted_by_a_line_of_the_targets_file() -> None:
    assert with_allow(NUMBER).endswith("in the targets file of a test: pbx.example.com number=112")


def test_every_kind_has_words_for_every_reader() -> None:
    for kind in RemedyKind:
        for words in (with_allow, without_allow, of_callers, by_administrator):
            assert words(Remedy(kind, "203.0.113.7", "112"))
