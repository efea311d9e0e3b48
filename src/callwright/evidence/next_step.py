"""The second line of a run's page: the cause, as far as it is known, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.outcome.call import CallOutcome
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import RunOutcome
from callwright.outcome.terms import Blame, Failure, Verdict

_BY_CODE = {
    401: "Check the user and the password of the account.",
    403: "Ask whoever runs the target whether this account may place this call.",
    404: "Check the number that was dialled, and where the target looks it up.",
    407: "Check the user and the password of the account.",
    408: "Look at the leg behind the target: it gave up waiting for the far end.",
    480: "Check that the called phone is registered.",
    484: "Check the number that was dialled: the target wants more digits.",
    486: "The called phone was busy: run the test again when it is free.",
    488: "Compare the codecs and the encryption that were offered with those the target takes.",
    500: "Look at the target's own log at the time of the call.",
    503: "Look at the target's load, and at the state of the trunk behind it.",
    600: "The called party was busy everywhere: run the test again when it is free.",
    603: "The called party declined: see who or what answers there.",
}
_BY_FAILURE = {
    Failure.TIMEOUT: "Check host, port and transport, and whether a firewall drops the packets on their way.",
    Failure.UNREACHABLE: "Check that the target listens there, on this port and transport.",
    Failure.UNRESOLVED: "Check the spelling of the host, and the name server of the agent.",
    Failure.TLS: "Check the certificate of the target and the authorities that the agent trusts.",
    Failure.NO_CREDENTIALS: "Give the party an account: the target asks for a password.",
    Failure.NOT_ACKNOWLEDGED: "Look at Contact and Record-Route of the 200 OK: the ACK has to come that way.",
    Failure.SESSION_EXPIRED: "Look at Session-Expires of the last answer: it names who had to refresh.",
    Failure.NEGOTIATION: "Compare the codecs of offer and answer.",
    Failure.ICE: "Compare the candidates of both sides: one needs an address that the other reaches.",
    Failure.DTLS: "Compare a=fingerprint of the peer's SDP with the certificate that it shows.",
    Failure.NO_ANSWER: "Check that the called phone is registered, and how long it rings.",
    Failure.NEVER_CAME: "Check where the target sends calls to this party: registration, routing, dial plan.",
    Failure.DEADLINE: "Give the run more time, or make its calls shorter.",
    Failure.POLICY: "An administrator permits destinations under Targets.",
}


def next_step(outcome: RunOutcome, changes: Sequence[str] | None = None) -> str:
    """One or two sentences. `changes` as of `evidence.innocence.suspects`; a run that passed is described."""
    match outcome.verdict:
        case Verdict.PASSED:
            return outcome.description
        case Verdict.CANCELED:
            return "It says nothing about the target. Run it again to find out."
        case Verdict.INVALID:
            return "Our own measurement cannot be trusted. Run it again on an agent with less load."
        case Verdict.ERROR:
            return "This says nothing about the target."
    if changes:
        told = f"Changed since the last pass: {changes[0]}"
        return f"{told} Run it without that change to see whether it is the cause."
    if outcome.loads and not outcome.calls:
        return "The charts show when calls began to fail, and the failures by class show the answers."
    for call in outcome.calls:
        if call.verdict is Verdict.FAILED:
            return _of_call(call)
    others: list[RegistrationOutcome | RequestOutcome] = [*outcome.registrations, *outcome.requests]
    for part in others:
        if part.verdict is Verdict.FAILED:
            return _known(part.failure, part.sip_code)
    return "The condition that failed is marked below, with what was seen."


def _of_call(call: CallOutcome) -> str:
    if not call.answered or call.failure not in (None, Failure.REFUSED):
        return _known(call.failure, call.sip_code)
    heard = call.received
    if call.blame is Blame.TEST:
        return "Change the test, not the target."
    if not heard.packets:
        return "Check the address for audio in the SDP of the answer, and the firewalls on the way to it."
    if heard.gaps:
        return "Check what the ladder shows at that moment, and whether the address for audio changed."
    if heard.without_sound:
        return "Listen to the recording, and check the source of the audio at the far end."
    if heard.lost or heard.discarded:
        return "See below when packets were lost or late, and in which directions."
    return "See below which cause lowered the MOS."


def _known(failure: Failure | None, code: int | None) -> str:
    if failure in (None, Failure.REFUSED) and code in _BY_CODE:
        return _BY_CODE[code]
    if failure is not None and failure in _BY_FAILURE:
        return _BY_FAILURE[failure]
    return "The message that refused it is marked in the ladder."
