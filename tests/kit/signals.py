"""Signals that the parent of the tests ignores, as below nohup(1) or behind `&` in a script."""

from __future__ import annotations

import signal


def hand_on_signals() -> None:
    """What is ignored here would be ignored by every program that a test starts; what is handled is not. The
    tests themselves still go on at such a signal."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)
