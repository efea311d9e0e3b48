"""How many examples a property test looks at: its own number, or more when one searches for faults."""

from __future__ import annotations

import os

#: `make fuzz` sets it: so many times the examples, drawn by chance. Without it they are always the same.
FACTOR = int(os.environ.get("CALLWRIGHT_EXAMPLES", "0"))


def examples(count: int) -> int:
    return count * max(FACTOR, 1)
