"""The ready-made tests, one YAML document each. Each runs as it is, at the built-in PBX."""

from __future__ import annotations

from importlib import resources

from callwright.scenario.document import load
from callwright.scenario.scenario import Scenario
from callwright.scenario.source import nearest

# In the order in which a newcomer would try them.
NAMES = (
    "basic_call",
    "media_analysis",
    "registration",
    "outbound_registration",
    "options_ping",
    "ivr_dtmf",
    "reject_codes",
    "no_answer_cancel",
    "hold_resume",
    "codec_negotiation",
    "caller_identity",
    "stir_shaken",
    "prack",
    "session_timer",
    "srtp",
    "webrtc",
    "tls_certificate",
    "transfer",
    "attended_transfer",
    "mwi",
    "presence",
    "interop_trunk",
    "load",
)


class NotInCatalogue(LookupError):
    """``nearest`` is the name that was probably meant."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nearest = nearest(name, NAMES)
        hint = f" Did you mean {self.nearest}?" if self.nearest else ""
        super().__init__(
            f"No file or catalogue test named {name!r}.{hint} Catalogue tests: {', '.join(NAMES)}."
        )


def text(name: str) -> str:
    """The document as it was written. Raises NotInCatalogue."""
    if name not in NAMES:
        raise NotInCatalogue(name)
    return resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")


def scenario(name: str) -> Scenario:
    """The document, read. Raises NotInCatalogue."""
    return load(text(name))


def summaries() -> list[tuple[str, str, str]]:
    """(name, title, description) of each."""
    tests = [scenario(name) for name in NAMES]
    return [(test.name, test.title, test.description) for test in tests]
