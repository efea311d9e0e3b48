"""Where the installed command begins: Ctrl-C leaves with 130 and no traceback, however early it comes.

This module imports next to nothing. The rest takes a tenth of a second, in which an interrupt would otherwise
end in a traceback of some import; no verb has anything to hang up by then.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

EXIT_INTERRUPTED = 130


def _leave(*_: object) -> NoReturn:
    os._exit(EXIT_INTERRUPTED)


def main() -> None:
    """Entry point of the installed command and of `python -m callwright`."""
    signal.signal(signal.SIGINT, _leave)
    from callwright.cli.main import main as run

    # From here on the verbs say what is ended, and how.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except KeyboardInterrupt:  # a second one, while the first was being told
        _leave()
