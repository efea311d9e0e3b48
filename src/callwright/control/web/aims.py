"""Where tests go, and which permitted target lets them: so that each page links to the other. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from callwright.control.runs.admission import rules
from callwright.control.targets.model import TargetRow
from callwright.control.tests.model import Test
from callwright.policy.destination import Destination, Purpose, decide

_PLACES = ("target", "domain", "proxy", "registrar")
_DIALLED = ("dial_destination", "destination")


def hosts(test: Test) -> list[str]:
    """The hosts that stand in its document, without ports, each once; none for the built-in PBX alone."""
    found: dict[str, None] = {}
    for view in test.parameters:
        value, name = str(view.get("value") or ""), view.get("name")
        if name in _PLACES:
            place = value
        elif name in _DIALLED and ("@" in value or value.startswith(("sip:", "sips:"))):
            place = re.sub(r"^sips?:", "", value).rpartition("@")[2].partition(";")[0]
        else:
            continue
        if host := _host(place):
            found[host] = None
    return list(found)


def _host(place: str) -> str:
    if "${" in place:
        return ""
    inside = re.match(r"\[([^\]]+)\]", place)
    return inside[1] if inside else place.partition(":")[0] if place.count(":") < 2 else place


def permitting(host: str, rows: Sequence[TargetRow], *, embedded: bool) -> TargetRow | None:
    """The target that lets calls to this host through, as the rules of runs say; None: there is none, or
    none is needed."""
    decision = decide(Purpose.RUN, Destination(host), rules(rows, embedded=embedded))
    if decision.target is None:
        return None
    return next(
        (
            row
            for row in rows
            if (row.host, row.network, row.number)
            == (decision.target.host, decision.target.network, decision.target.number)
        ),
        None,
    )


def used_by(tests: Sequence[Test], rows: Sequence[TargetRow], *, embedded: bool) -> dict[int, list[Test]]:
    """Id of each target to the tests whose hosts it permits."""
    found: dict[int, list[Test]] = {}
    known: dict[str, TargetRow | None] = {}
    for test in tests:
        for host in hosts(test):
            if host not in known:
                known[host] = permitting(host, rows, embedded=embedded)
            row = known[host]
            if row is not None and test not in found.setdefault(row.id, []):
                found[row.id].append(test)
    return found
