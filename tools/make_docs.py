"""Writes the pages of docs/ that are made from the code. Run by `make docs`."""

from __future__ import annotations

from pathlib import Path

from callwright.control.audit import actions
from callwright.control.runs import transitions
from callwright.fleet import server
from callwright.scenario.reference import markdown
from callwright.sip.transaction.table import render_markdown
from callwright.sip.transaction.tables import TABLES

DOCS = Path(__file__).resolve().parents[1] / "docs"


def main() -> None:
    (DOCS / "test-language.md").write_text(markdown(), encoding="utf-8")
    (DOCS / "state-machines.md").write_text(render_markdown(TABLES), encoding="utf-8")
    (DOCS / "run-states.md").write_text(transitions.render_markdown(), encoding="utf-8")
    (DOCS / "server-states.md").write_text(server.render_markdown(), encoding="utf-8")
    (DOCS / "audit-log.md").write_text(actions.render_markdown(), encoding="utf-8")


if __name__ == "__main__":
    main()
