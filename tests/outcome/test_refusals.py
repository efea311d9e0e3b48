"""What a sentence about a refusal may say: what stands in the message, and guesses that are called so."""

from __future__ import annotations

import pytest

from callwright.outcome.call import CallOutcome
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.judgement import judge_call, judge_registration
from callwright.outcome.request import RegistrationOutcome
from callwright.outcome.terms import Blame, Direction, Failure, Verdict


def reason(code: int, *headers: tuple[str, str], phrase: str | None = None, **facts: object) -> str:
    call = CallOutcome(
        sip_code=code,
        sip_reason=phrase,
        failure=Failure.REFUSED,
        destination="sip:1002@pbx",
        messages=(CapturedMessage(str(code), headers),),
        codecs_offered=("PCMU", "PCMA"),
        **facts,  # type: ignore[arg-type]
    )
    return judge_call(call)[2]


GUESS = "Perhaps it takes none of PCMU and PCMA, or disagrees on encryption (SRTP)."


def test_a_488_says_what_it_says_and_calls_its_cause_a_guess() -> None:
    opening = "The call to 1002 was refused with 488 Not Acceptable Here"
    assert reason(488) == f"{opening}: it did not say why. {GUESS}"
    warned = reason(488, ("Warning", '305 pbx "Incompatible media format: SRTP is required"'))
    assert warned == f'{opening}: it says "Incompatible media format: SRTP is required". {GUESS}'


@pytest.mark.parametrize(
    ("headers", "phrase", "said"),
    [
        ((("Warning", '399 pbx "extension \\"7\\" is closed."'),), None, "extension '7' is closed"),
        ((("Reason", 'Q.850;cause=21;text="Call rejected"'),), None, "Call rejected"),
        ((("Reason", "Q.850;cause=21"),), None, "Q.850;cause=21"),
        ((), "No Such Extension", "No Such Extension"),
        ((("warning", "nonsense"),), "No Such Extension", "No Such Extension"),
    ],
)
def test_the_words_of_a_refusal_are_quoted(
    headers: tuple[tuple[str, str], ...], phrase: str | None, said: str
) -> None:
    told = reason(404, *headers, phrase=phrase)
    assert told == f'The call to 1002 was refused with 404 Not Found: it says "{said}".'


def test_a_refusal_that_says_nothing_is_explained_by_its_status() -> None:
    for phrase in (None, "", "Not Found", "not found"):
        told = reason(404, phrase=phrase)
        assert told == "The call to 1002 was refused with 404 Not Found: it does not know the number."


def test_a_403_after_a_challenge_does_not_accuse_the_password() -> None:
    told = reason(403, authenticated=True)
    assert ": it did not say why. Perhaps the password is wrong, or " in told
    told = reason(403, ("Warning", '399 pbx "no such extension"'), authenticated=True)
    assert ': it says "no such extension". Perhaps' in told
    assert reason(403).endswith("403 Forbidden: it does not permit this.")


@pytest.mark.parametrize(
    ("code", "header", "named", "unnamed"),
    [
        (420, "Unsupported", "it does not have 100rel, which we required", "does not name the extension"),
        (421, "Require", "it demands 100rel, which our INVITE did not offer", "does not name the extension"),
        (415, "Accept", "it takes bodies of 100rel", "415 Unsupported Media Type."),
        (422, "Min-SE", "it wants a session timer of at least 100rel s (Min-SE)", "does not name the timer"),
    ],
)
def test_what_a_refusal_is_about_is_named(code: int, header: str, named: str, unnamed: str) -> None:
    assert reason(code, (header, "100rel")).endswith(f": {named}.")
    assert unnamed in reason(code)


def test_what_is_quoted_stays_short() -> None:
    told = reason(500, ("Warning", '399 pbx "' + "x" * 3000 + '"'))
    assert len(told) < 200


def test_a_call_that_our_side_had_to_refuse_says_why() -> None:
    call = CallOutcome(
        sip_code=420,
        direction=Direction.INCOMING,
        caller_identity="1001",
        failure=Failure.REFUSED,
        failure_detail="it requires 100rel, which Callwright does not have",
    )
    why = "it requires 100rel, which Callwright does not have"
    reason = f"We refused the call of 1001 with 420 Bad Extension: {why}."
    assert judge_call(call) == (Verdict.FAILED, Blame.TEST, reason)


def test_a_registration_without_a_binding_is_not_called_silence() -> None:
    outcome = RegistrationOutcome(
        sip_code=200,
        account="1001@pbx",
        registrar="pbx",
        failure=Failure.NOT_BOUND,
        failure_detail="it granted our binding for 0 s",
    )
    opening = "The registration of 1001@pbx at pbx failed, though it was answered 200 OK"
    reason = f"{opening}: it granted our binding for 0 s."
    assert judge_registration(outcome) == (Verdict.FAILED, Blame.TARGET, reason)


def test_a_transport_that_is_not_spoken_is_named() -> None:
    call = CallOutcome(
        destination="sip:a@h;transport=sctp",
        failure=Failure.TRANSPORT,
        failure_detail="sip:a@h;transport=sctp asks for transport=sctp",
    )
    verdict, blame, said = judge_call(call)
    assert (verdict, blame) == (Verdict.FAILED, Blame.TEST)
    assert said.startswith("The INVITE was never sent: sip:a@h;transport=sctp asks for transport=sctp")


def test_a_warning_about_something_else_leaves_no_room_for_a_guess_about_codecs() -> None:
    told = reason(488, ("Warning", '370 pbx "Insufficient bandwidth"'))
    assert told.endswith('488 Not Acceptable Here: it says "Insufficient bandwidth".')


@pytest.mark.parametrize(
    ("challenge", "said"),
    [
        ('Digest realm="r",nonce="n",algorithm=FOO', "it asks for the digest algorithm FOO, which is not"),
        ('Digest realm="r",nonce="n",qop="auth-conf"', "it asks for qop=auth-conf, which is not supported"),
        ('Basic realm="r"', "it asks for Basic authentication, which is not supported"),
        ('Digest realm="r"', "its challenge cannot be read"),
    ],
)
def test_a_challenge_that_nobody_could_answer_is_not_a_missing_password(challenge: str, said: str) -> None:
    for authenticated in (False, True):
        told = reason(401, ("WWW-Authenticate", challenge), authenticated=authenticated)
        assert said in told
    answerable = ("WWW-Authenticate", 'Digest realm="r",nonce="n"')
    told = reason(401, ("WWW-Authenticate", challenge), answerable, authenticated=True)
    assert told.endswith("probably the user or the password is wrong.")
