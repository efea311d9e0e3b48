"""Which calls the load engine places and answers, and what it cannot do: that is refused by its name.

A softphone takes some milliseconds of a CPU for each call and keeps all that there is to know of it; the
engine takes some microseconds and keeps counts and distributions.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from callwright.scenario.parameter import CODECS
from callwright.sip.edits import is_removal
from callwright.sip.headers import Unfit as Unfit_
from callwright.sip.headers import unfit
from callwright.srtp.wish import DTLS_SUITES

MOST_RATE = 20.0
"""Calls a second that softphones keep on a small machine, with both ends and a PBX on it."""
MOST_CALLS = 500
"""Calls whose every detail a result can hold."""
LOAD_CODECS = ("PCMU", "PCMA", "G722")
WORKED_OUT = f"yes with a `ramp`, more than {MOST_RATE:g} calls a second, or more than {MOST_CALLS} calls"


class Unfit(NamedTuple):
    """A parameter that does not go together with the others; `message` is a sentence."""

    name: str
    message: str
    permitted: tuple[str, ...] = ()


def too_much_for_softphones(call_rate: float, max_total_calls: int) -> bool:
    """Whether a softphone would place fewer calls, or later ones, than it was asked for."""
    return min(call_rate, max_total_calls) > MOST_RATE or max_total_calls > MOST_CALLS


def unfit_to_update(values: Mapping[str, Any]) -> list[Unfit]:
    """UPDATE before the answer needs PRACK: RFC 3311 section 5.1."""
    if values["early_update"] is None or values["prack"] != "no":
        return []
    return [Unfit("prack", "early_update needs reliable provisionals: leave out prack: no.", ("offered",))]


def unfit_to_encrypt(values: Mapping[str, Any]) -> list[Unfit]:
    """Suites and new keys belong to SRTP."""
    if values["srtp"] == "dtls":
        return unfit_for_dtls(values)
    if values["srtp"] != "off":
        return []
    return [
        Unfit(name, f"{name} needs SRTP: write srtp: optional, or required.")
        for name in ("srtp_suite", "rekey_after")
        if values[name]
    ]


def unfit_for_dtls(values: Mapping[str, Any]) -> list[Unfit]:
    """A handshake knows four suites, and its keys last as long as the call."""
    found = []
    if values["srtp_suite"] and values["srtp_suite"] not in DTLS_SUITES:
        found.append(Unfit("srtp_suite", f"DTLS agrees on {', '.join(DTLS_SUITES)} alone.", DTLS_SUITES))
    if values["rekey_after"]:
        found.append(
            Unfit("rekey_after", "rekey_after is for keys in the SDP: leave it out with srtp: dtls.")
        )
    return found


def unfit_for_load(kind: str, values: Mapping[str, Any], given: Collection[str]) -> list[Unfit]:
    """What of a `call` or an `accept` the engine cannot do, a sentence each."""
    found = []

    def refuse(name: str, why: str, permitted: tuple[str, ...] = ()) -> None:
        found.append(Unfit(name, f"{name} of a load: {why}", permitted))

    if values["dtmf"]:
        refuse("dtmf", "the load engine sends no digits. Leave it out.")
    if values["early_update"] is not None:
        refuse("early_update", "the load engine sends no UPDATE. Leave it out.")
    if values["srtp"] != "off":
        refuse("srtp", "the load engine sends and takes plain RTP only.", ("off",))
    if values["ice"] != "off":
        refuse("ice", "the load engine sends media where the SDP says.", ("off",))
    for name in ("srtp_suite", "rekey_after"):
        if values[name]:
            refuse(name, "the load engine sends and takes plain RTP only. Leave it out.")
    for name in ("identity", "privacy", "verify_identity"):
        if values.get(name, "no") not in ("no", "none"):
            refuse(name, "the load engine signs and verifies nothing. Leave it out.")
    for name in ("asserted_identity", "preferred_identity"):
        if values.get(name):
            refuse(name, "the load engine writes From alone. Use headers.")
    if values.get("body"):
        refuse("body", "the load engine sends its session description alone. Leave it out.")
    edited = [name for name, _ in values["headers"] if unfit(name, "") is Unfit_.RESERVED or is_removal(name)]
    if edited:
        refuse("headers", f"the load engine writes {edited[0].lstrip('-')} itself. Leave it out.")
    if values["transfers"]:
        refuse("transfers", "the load engine follows no REFER. Leave it out.", ("no",))
    if values.get("auto_answer"):
        refuse("auto_answer", "the load engine answers when `ring` says so. Leave it out.", ("no",))
    if values["detect_tones"]:
        refuse("detect_tones", "the load engine listens for no digits. Leave it out.", ("no",))
    codecs = values["codecs"]
    if "codecs" in given and codecs != CODECS[:3] and (len(codecs) != 1 or codecs[0] not in LOAD_CODECS):
        refuse("codecs", f"the load engine sends one of {', '.join(LOAD_CODECS)}. Write one.", LOAD_CODECS)
    if "record" in given and values["record"]:
        refuse("record", "calls of a load are measured, not recorded. Write no, or leave it out.", ("no",))
    if kind == "call":
        for name in ("hold", "resume"):
            if values[name] is not None:
                refuse(name, "the load engine puts no call on hold. Leave it out.")
        if values["follow"]:
            refuse(
                "follow", "the load engine follows no redirection; a 3xx is counted by its status.", ("no",)
            )
        if values["transport"] not in ("", "udp"):
            refuse(
                "transport", f"the load engine sends over UDP, not {values['transport'].upper()}.", ("udp",)
            )
    else:
        if values["early_media"]:
            refuse("early_media", "the load engine sends audio after the answer only.", ("no",))
        if values["echo"]:
            refuse("echo", "the load engine sends back nothing that it hears. Use play.", ("no",))
        if values["reject_reason"]:
            refuse("reject_reason", "the load engine writes the status's own reason. Leave it out.")
    return found
