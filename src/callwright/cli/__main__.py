"""`python -m callwright.cli` is the same as `callwright`."""

from __future__ import annotations

from callwright.cli.entry import main

main()
