"""What a line of a log is about: the run, the agent and the request at hand, where they are known.

Each is set in the task that begins it, and tasks that this one starts inherit it.
"""

from __future__ import annotations

from contextvars import ContextVar

run: ContextVar[int | None] = ContextVar("run", default=None)
agent: ContextVar[str | None] = ContextVar("agent", default=None)
request: ContextVar[str | None] = ContextVar("request", default=None)


def fields() -> dict[str, int | str]:
    """Those that are known, by name."""
    found = {"run": run.get(), "agent": agent.get(), "request": request.get()}
    return {name: value for name, value in found.items() if value is not None}
