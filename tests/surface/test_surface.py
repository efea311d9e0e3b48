"""Nothing that others build on goes, or comes, by accident."""

from __future__ import annotations

from tests.surface.facts import facts, read


def test_nothing_that_others_build_on_goes_or_comes_by_accident() -> None:
    found, written = facts(), read()
    gone, new = sorted(written - found), sorted(found - written)
    assert not gone, (
        "These are gone, and scripts of others break; bring them back, or give them an alias: "
        + ("; ".join(gone))
    )
    assert not new, "These are new, and promises from now on; if they are meant, run `make surface`: " + (
        "; ".join(new)
    )
