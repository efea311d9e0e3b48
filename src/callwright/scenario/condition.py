"""Conditions: one line of text each, judged on what a run left behind.

    [who.]metric operator value          callee.mos >= 3.9      caller.pdd < 1 s      step.1.0.code = 486

``who`` is ``caller`` (every call we placed), ``callee`` (every call that came to us), the name of a
party, or the address of an action. Without it a condition on an action looks at that action's calls, and
one at the end of the document at every call. A condition holds when it holds for each call it looks at
and there is at least one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from callwright.outcome.call import CallOutcome
from callwright.outcome.decisive import decisive
from callwright.outcome.request import RegistrationOutcome, RequestOutcome
from callwright.outcome.run import ConditionOutcome
from callwright.outcome.terms import Blame, CallState, Direction, EndedBy, Failure, Verdict
from callwright.scenario.parameter import CODECS, Boolean, read_duration
from callwright.scenario.pattern import Pattern, PatternError, PatternTimeout, compile_pattern
from callwright.scenario.source import NOWHERE, Mark, Refusal, Text, did_you_mean, quoted

Subject = CallOutcome | RegistrationOutcome | RequestOutcome

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
MATCHES = ("=", "!=", "~", "!~", "in", "not in", "present", "absent")
ORDERS = ("=", "ordered", "has", "lacks")
_OPERATOR = r"(?P<op>not\s+in\b|>=|<=|==|!=|!~|=|<|>|~|≥|≤|≠|\b(?:in|present|absent|ordered|has|lacks)\b)"
_SAME = {"==": "=", "≥": ">=", "≤": "<=", "≠": "!="}
_CALL, _ANY = (CallOutcome,), (CallOutcome, RegistrationOutcome, RequestOutcome)
MAX_LENGTH = 500


@dataclass(frozen=True)
class Metric:
    """Something a condition can look at. ``kind`` says how its value is read and compared."""

    name: str
    kind: str  # number, percent, time, level, code, word, choice, flag, states, header, count
    get: Callable[[Any], Any]
    help: str
    of: tuple[type, ...] = _CALL
    choices: tuple[str, ...] = ()

    @property
    def operators(self) -> tuple[str, ...]:
        if self.kind in ("number", "percent", "time", "level", "count"):
            return COMPARISONS
        if self.kind == "code":
            return (*COMPARISONS, "in", "not in")
        if self.kind == "states":
            return ORDERS
        if self.kind in ("choice", "flag"):
            return ("=", "!=", "in", "not in")
        return MATCHES

    @property
    def unit(self) -> str:
        return {"percent": " %", "time": " ms", "level": " dBFS"}.get(self.kind, "")


def _heard(call: CallOutcome) -> float | None:
    silence = call.received.silence_pct
    return None if silence is None else 100 - silence


def _longest_gap(call: CallOutcome) -> float | None:
    if call.received.heard_pct is None:
        return None
    return 1000 * max((gap.to_s - gap.from_s for gap in call.received.gaps), default=0.0)


def _of_tls(name: str) -> Callable[[Subject], Any]:
    return lambda subject: getattr(subject.tls, name) if subject.tls is not None else None


def _table(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


METRICS = _table(
    Metric("mos", "number", lambda c: c.received.mos, "MOS of what this party heard"),
    Metric("sent.mos", "number", lambda c: c.sent.mos, "MOS of what the peer heard of this party"),
    Metric("r", "number", lambda c: c.received.r_factor, "R factor of what this party heard"),
    Metric("loss", "percent", lambda c: c.received.loss_pct, "RTP packets due to this party that never came"),
    Metric(
        "sent.loss", "percent", lambda c: c.sent.loss_pct, "RTP packets of this party that the peer missed"
    ),
    Metric("discarded", "number", lambda c: c.received.discarded, "packets too late for the jitter buffer"),
    Metric("burst_ratio", "number", lambda c: c.received.burst_ratio, "G.107 BurstR; 1 is random loss"),
    Metric("jitter", "time", lambda c: c.received.jitter_ms, "mean interarrival jitter (RFC 3550)"),
    Metric("max_jitter", "time", lambda c: c.received.max_jitter_ms, "highest interarrival jitter"),
    Metric("rtt", "time", lambda c: c.rtt_ms, "round trip of the media, from RTCP"),
    Metric("packets", "number", lambda c: c.received.packets, "RTP packets received"),
    Metric("sent.packets", "number", lambda c: c.sent.packets, "RTP packets sent"),
    Metric(
        "silence",
        "percent",
        lambda c: c.received.silence_pct,
        "part of the received audio that was silent, gaps included",
    ),
    Metric("heard", "percent", _heard, "part of the received audio that was not silent"),
    Metric(
        "heard_pct",
        "percent",
        lambda c: c.received.heard_pct,
        "part of the time in which audio was due that was not in a gap",
    ),
    Metric("dtx", "percent", lambda c: c.received.dtx_pct, "part of the call left out on purpose, by DTX"),
    Metric("longest_gap", "time", _longest_gap, "longest time without a packet where audio was due"),
    Metric("clipping", "percent", lambda c: c.received.clipping_pct, "part of the audio that was clipped"),
    Metric("level", "level", lambda c: c.received.level_dbfs, "level of the received audio"),
    Metric("pdd", "time", lambda c: c.pdd_ms, "post-dial delay: INVITE to first ringing or answer"),
    Metric("setup", "time", lambda c: c.setup_ms, "INVITE to the answer"),
    Metric("duration", "time", lambda c: c.duration_ms, "answer to the end of the call"),
    Metric("code", "code", lambda o: o.sip_code, "final SIP status; 4xx stands for its class", _ANY),
    Metric(
        "body",
        "word",
        lambda o: tuple(told.body for told in o.notifies),
        "bodies of the NOTIFYs of a subscription; it matches when one of them does",
        (RequestOutcome,),
    ),
    Metric(
        "last_body",
        "word",
        lambda o: o.notifies[-1].body if o.notifies else None,
        "body of the last NOTIFY of a subscription",
        (RequestOutcome,),
    ),
    Metric("notifies", "number", lambda o: len(o.notifies), "NOTIFYs of a subscription", (RequestOutcome,)),
    Metric(
        "transfer_code",
        "code",
        lambda o: o.transfer_code,
        "status of the transferred side's own call, as the REFER's NOTIFY told it (RFC 3515)",
        (RequestOutcome,),
    ),
    Metric("codec", "word", lambda c: c.codec or c.received.codec, "codec that was agreed on"),
    Metric("dtmf", "word", lambda c: c.received.dtmf, "digits received"),
    Metric("dtmf_event", "word", lambda c: c.received.dtmf_event, "digits received by telephone-event"),
    Metric("dtmf_info", "word", lambda c: c.received.dtmf_info, "digits received by INFO"),
    Metric(
        "dtmf_inband",
        "word",
        lambda c: c.received.dtmf_inband,
        "digits received as tones in the audio, with `detect_tones: yes`",
    ),
    Metric("caller_id", "word", lambda c: c.caller_identity, "number of the caller as it was received"),
    Metric("caller_name", "word", lambda c: c.caller_name, "display name of the caller as it was received"),
    Metric(
        "asserted_identity", "word", lambda c: c.asserted_identity, "P-Asserted-Identity as it was received"
    ),
    Metric("preferred_identity", "word", lambda c: c.preferred_identity, "P-Preferred-Identity as received"),
    Metric("privacy", "word", lambda c: c.privacy, "Privacy as it was received (RFC 3323)"),
    Metric(
        "identity",
        "choice",
        lambda c: c.identity and c.identity.verdict,
        "what the caller's signed Identity is worth, with `verify_identity`",
        _CALL,
        ("valid", "invalid", "absent"),
    ),
    Metric(
        "identity_code",
        "code",
        lambda c: c.identity and c.identity.code,
        "the code for which RFC 8224 refuses it: 428, 436, 437, 438 or 403",
    ),
    Metric(
        "identity_reason",
        "word",
        lambda c: c.identity and c.identity.reason,
        "what the verdict rests on",
    ),
    Metric("attest", "word", lambda c: c.identity and c.identity.attest, "attestation in it: A, B or C"),
    Metric(
        "tls.version", "word", _of_tls("version"), "version of TLS; absent: the signalling went without", _ANY
    ),
    Metric(
        "tls.cipher", "word", _of_tls("cipher"), "cipher suite of the signalling, as OpenSSL names it", _ANY
    ),
    Metric(
        "tls.trusted", "flag", _of_tls("trusted"), "whether the peer's certificate was checked and good", _ANY
    ),
    Metric(
        "tls.days_left", "number", _of_tls("days_left"), "days until the peer's certificate expires", _ANY
    ),
    Metric("tls.subject", "word", _of_tls("subject"), "subject of the peer's certificate (RFC 4514)", _ANY),
    Metric("tls.issuer", "word", _of_tls("issuer"), "issuer of the peer's certificate", _ANY),
    Metric("tls.names", "word", _of_tls("names"), "alternative names of the peer's certificate", _ANY),
    Metric("user_agent", "word", lambda o: o.user_agent, "User-Agent or Server of the peer", _ANY),
    Metric("early_media", "flag", lambda c: c.early_media, "whether audio came before the answer"),
    Metric(
        "reliable_provisionals",
        "number",
        lambda c: len(c.reliable_codes),
        "provisional responses that a PRACK acknowledged (RFC 3262)",
    ),
    Metric("updates", "number", lambda c: c.updates, "UPDATEs that were accepted, of either side (RFC 3311)"),
    Metric(
        "session_expires",
        "number",
        lambda c: c.session_expires_s,
        "session timer that was agreed on, seconds (RFC 4028)",
    ),
    Metric(
        "session_refreshes",
        "number",
        lambda c: c.session_refreshes,
        "refreshes of the session, of either side",
    ),
    Metric(
        "srtp.suite",
        "word",
        lambda c: c.srtp and c.srtp.suite,
        "crypto suite of the audio; absent: plain RTP",
    ),
    Metric(
        "srtp.auth_failures",
        "number",
        lambda c: c.srtp and c.srtp.auth_failures,
        "packets that the key agreed on did not fit",
    ),
    Metric("srtp.replayed", "number", lambda c: c.srtp and c.srtp.replayed, "SRTP packets that came twice"),
    Metric(
        "ice.local",
        "word",
        lambda c: c.ice and c.ice.local_type,
        "candidate of ours that won: host, srflx, prflx or relay; absent: no ICE",
    ),
    Metric("ice.remote", "word", lambda c: c.ice and c.ice.remote_type, "the peer's candidate that won"),
    Metric(
        "ice.connected",
        "time",
        lambda c: c.ice and c.ice.connected_ms,
        "from offer and answer until ICE has found a pair",
    ),
    Metric("dtls.role", "word", lambda c: c.dtls and c.dtls.role, "who we were in DTLS: client or server"),
    Metric(
        "dtls.fingerprint",
        "word",
        lambda c: c.dtls and c.dtls.fingerprint,
        "fingerprint of the SDP that the peer's certificate has; absent: no such handshake",
    ),
    Metric("dtls.handshake", "time", lambda c: c.dtls and c.dtls.handshake_ms, "how long DTLS took"),
    Metric("srtp.rekeyed", "number", lambda c: c.srtp and c.srtp.rekeyed, "changes of the keys in the call"),
    Metric("ended_by", "choice", lambda c: c.ended_by, "who ended the call", _CALL, tuple(EndedBy)),
    Metric("failure", "choice", lambda o: o.failure, "why it did not succeed", _ANY, tuple(Failure)),
    Metric("verdict", "choice", lambda o: o.verdict, "verdict of the call itself", _ANY, tuple(Verdict)),
    Metric("blame", "choice", lambda o: o.blame, "who is to blame", _ANY, tuple(Blame)),
    Metric("states", "states", lambda c: c.states, "states the call went through", _CALL, tuple(CallState)),
    Metric(
        "header",
        "header",
        lambda o: o.messages,
        "header of a received message: header X-A of 180 = b, header Reason of BYE ~ /cause=31/",
        _ANY,
    ),
    Metric("calls", "count", len, "number of calls looked at"),
    Metric("registered", "time", lambda o: o.registered_ms, "REGISTER to its 200", (RegistrationOutcome,)),
    Metric("expires", "number", lambda o: o.expires_s, "expiry granted, seconds", (RegistrationOutcome,)),
    Metric("refreshes", "number", lambda o: o.refreshes, "refreshes that succeeded", (RegistrationOutcome,)),
    Metric(
        "bindings",
        "number",
        lambda o: o.bindings,
        "contacts that the registrar lists for the account",
        (RegistrationOutcome,),
    ),
    Metric(
        "outbound",
        "flag",
        lambda o: o.outbound,
        "whether the registrar keeps the flow (RFC 5626)",
        (RegistrationOutcome,),
    ),
    Metric(
        "keepalives",
        "number",
        lambda o: o.keepalives_answered,
        "keep-alives of the flow that were answered",
        (RegistrationOutcome,),
    ),
    Metric(
        "flow_failures",
        "number",
        lambda o: o.flow_failures,
        "flows that died and were formed anew",
        (RegistrationOutcome,),
    ),
    Metric("gruu", "word", lambda o: o.public_gruu, "public GRUU (RFC 5627)", (RegistrationOutcome,)),
    Metric("temporary_gruu", "word", lambda o: o.temporary_gruu, "temporary GRUU", (RegistrationOutcome,)),
    Metric("path", "word", lambda o: o.path, "Path of the registration (RFC 3327)", (RegistrationOutcome,)),
    Metric(
        "service_route", "word", lambda o: o.service_route, "Service-Route (RFC 3608)", (RegistrationOutcome,)
    ),
    Metric(
        "min_expires", "number", lambda o: o.min_expires_s, "expiry demanded by a 423", (RegistrationOutcome,)
    ),
    Metric("round_trip", "time", lambda o: o.round_trip_ms, "request to final response", (RequestOutcome,)),
    Metric("allow", "word", lambda o: o.allow, "methods in the peer's Allow", (RequestOutcome,)),
)


_OF_THE_NETWORK = frozenset(
    {"mos", "sent.mos", "r", "loss", "sent.loss", "discarded", "burst_ratio", "jitter", "max_jitter", "rtt"}
)


@dataclass(frozen=True)
class Condition:
    text: str  # as written
    metric: Metric
    operator: str
    value: Any  # float, tuple of texts, compiled pattern, or None for present and absent
    expected: str  # ">= 4.0"
    who: str | None = None
    header: str = ""
    message: str = ""  # "INVITE" or "180": the message whose header is meant
    address: str | None = None  # of its action; None at the end of the document
    mark: Mark = NOWHERE

    @property
    def expects_failure(self) -> bool:
        """An answered call cannot satisfy it, so its author wants the call to fail, and says how."""
        if self.metric.name in ("code", "transfer_code"):
            return not _code_matches(200, self.operator, self.value)
        if self.metric.name == "states":
            bad = {CallState.CANCELED, CallState.FAILED, CallState.REDIRECTED}
            if self.operator == "lacks":
                return bool({CallState.ANSWERED, CallState.CONFIRMED} & set(self.value))
            return bool(bad & set(self.value))
        if self.metric.name == "failure":
            return self.operator in ("=", "in")
        if self.metric.name == "verdict":
            return not _choice_matches("passed", self.operator, self.value)
        return False

    @property
    def blame(self) -> Blame:
        """Whom it speaks against when it does not hold, and the call itself tells no more."""
        return Blame.NETWORK if self.metric.name in _OF_THE_NETWORK else Blame.TARGET

    def select(
        self,
        calls: Sequence[CallOutcome],
        registrations: Sequence[RegistrationOutcome] = (),
        requests: Sequence[RequestOutcome] = (),
    ) -> list[Subject]:
        """What it looks at: calls before requests before registrations, when its metric knows several."""
        for kind, pool in (
            (CallOutcome, calls),
            (RequestOutcome, requests),
            (RegistrationOutcome, registrations),
        ):
            if kind in self.metric.of:
                chosen = self._receivers([subject for subject in pool if self._concerns(subject)])
                if chosen:
                    return chosen
        return []

    def _receivers(self, subjects: list[Subject]) -> list[Subject]:
        """Of both ends of a call only the one that can have received the message whose header is meant: an
        INVITE comes to the callee, a response to the caller, a request inside the call to whom it came.
        Whoever names a party means that party.
        """
        if not self.message or self.who is not None:
            return subjects
        wanted = Direction.OUTGOING if self.message.isdigit() else Direction.INCOMING
        if not self.message.isdigit() and self.message != "INVITE":
            return [s for s in subjects if self.message in [m.start.upper() for m in s.messages]] or subjects
        ends = [s for s in subjects if not isinstance(s, CallOutcome) or s.direction is wanted]
        return ends or subjects

    def _concerns(self, subject: Subject) -> bool:
        if self.who is None:
            return self.address is None or subject.address == self.address
        if self.who in ("caller", "callee") and isinstance(subject, CallOutcome):
            wanted = Direction.OUTGOING if self.who == "caller" else Direction.INCOMING
            here = self.address is None or subject.address == self.address
            return subject.direction is wanted and here
        return self.who in (subject.party, subject.address)

    def evaluate(
        self,
        calls: Sequence[CallOutcome],
        registrations: Sequence[RegistrationOutcome] = (),
        requests: Sequence[RequestOutcome] = (),
        users: Mapping[str, str] | None = None,
    ) -> ConditionOutcome:
        """``users`` maps the name of a party to its user, for ``caller_id = alice``."""
        subjects = self.select(calls, registrations, requests)
        if self.metric.kind == "count":
            count = len(subjects)
            return self._outcome(str(count), _compares(count, self.operator, self.value))
        if not subjects:
            return self._outcome(None, False)
        results = [(subject, *self._seen(subject, users or {})) for subject in subjects]
        failed = [entry for entry in results if not entry[2]]
        subject, seen, passed = (failed or results)[0]
        if len(failed) > 1 or (failed and len(results) > 1):
            seen = f"{seen if seen is not None else 'nothing'} ({len(failed)} of {len(results)} failed)"
        return self._outcome(seen, passed, getattr(subject, "id", None))

    def _outcome(self, seen: str | None, passed: bool, call: str | None = None) -> ConditionOutcome:
        return ConditionOutcome(self.text, self.expected, seen, passed, self.address, call or None)

    def _seen(self, subject: Subject, users: Mapping[str, str]) -> tuple[str | None, bool]:
        try:
            return self._look(subject, users)
        except PatternTimeout:  # without an answer neither ~ nor !~ holds
            return "undecided: the search took too long", False

    def _look(self, subject: Subject, users: Mapping[str, str]) -> tuple[str | None, bool]:
        value = self.metric.get(subject)
        kind = self.metric.kind
        if kind == "states":
            names = [reached.state for reached in value]
            return ", ".join(names) or None, _states_match(names, self.operator, self.value)
        if kind == "header":
            found = [
                text
                for message in value
                if not self.message or message.start.upper() == self.message
                for text in message.values(self.header)
            ]
            shown = ", ".join(dict.fromkeys(found)) if found else None
            return shown, _words_match(found, self.operator, self.value, exact=True)
        if kind == "word":
            words = [str(item) for item in value] if isinstance(value, tuple) else [value] if value else []
            wanted = self.value
            if self.metric.name == "caller_id" and isinstance(wanted, tuple):
                wanted = tuple(users.get(word, word) for word in wanted)
                named = re.fullmatch(r'"([^"]*)"\s+(\S+)', wanted[0]) if len(wanted) == 1 else None
                if named and isinstance(subject, CallOutcome) and words:
                    words = [f'"{subject.caller_name or ""}" {words[0]}']
            return ", ".join(words) or None, _words_match(words, self.operator, wanted, exact=False)
        if value is None:
            return None, False
        if kind == "flag":
            return Boolean().show(value), (value is self.value) == (self.operator in ("=", "in"))
        if kind == "choice":
            return str(value), _choice_matches(str(value), self.operator, self.value)
        if kind == "code":
            return str(value), _code_matches(value, self.operator, self.value)
        shown = decisive(value, self.value, significant=4)
        return f"{shown}{self.metric.unit}", _compares(value, self.operator, self.value)


def _compares(seen: float, operator: str, wanted: float) -> bool:
    close = abs(seen - wanted) < 1e-9
    return {
        "=": close,
        "!=": not close,
        "<": seen < wanted,
        "<=": seen <= wanted or close,
        ">": seen > wanted,
        ">=": seen >= wanted or close,
    }[operator]


def _code_matches(code: int, operator: str, wanted: Sequence[str]) -> bool:
    if operator in ("<", "<=", ">", ">="):
        return _compares(code, operator, int(wanted[0]))
    found = any(str(code) == one or (one.endswith("xx") and str(code)[0] == one[0]) for one in wanted)
    return found == (operator in ("=", "in"))


def _choice_matches(seen: str, operator: str, wanted: Sequence[str]) -> bool:
    return (seen in wanted) == (operator in ("=", "in"))


def _words_match(seen: Sequence[str], operator: str, wanted: Any, *, exact: bool) -> bool:
    """Negative operators hold when nothing matches, also when there is nothing at all."""
    if operator in ("present", "absent"):
        return bool(seen) == (operator == "present")
    if operator in ("~", "!~"):
        return any(wanted.search(word) for word in seen) == (operator == "~")
    same = {word if exact else word.lower() for word in wanted}
    found = any((word if exact else word.lower()) in same for word in seen)
    return found == (operator in ("=", "in"))


def _states_match(seen: Sequence[str], operator: str, wanted: Sequence[str]) -> bool:
    if operator == "has":
        return set(wanted) <= set(seen)
    if operator == "lacks":
        return not set(wanted) & set(seen)
    if operator == "ordered":
        rest = iter(seen)
        return all(state in rest for state in wanted)
    # "=": nothing else in between, but for the states that only say the handshake went its way
    quiet = {CallState.TRYING, CallState.CONFIRMED} - set(wanted)
    return [state for state in seen if state not in quiet] == list(wanted)


def parse_condition(
    node: Text, *, address: str | None = None, parties: Sequence[str] = (), addresses: Sequence[str] = ()
) -> Condition:
    """Raises Refusal with a sentence that says what would be right."""
    text = " ".join(node.value.split())
    if not text:
        raise Refusal("A condition is empty. Write mos >= 4.0 or code = 200.")
    if len(text) > MAX_LENGTH:
        raise Refusal(f"A condition has {len(text)} characters; at most {MAX_LENGTH} are permitted.")
    match = re.match(rf"(?P<name>[\w.-]+?)(?P<rest>\s+[^=<>~!]*?)?\s*{_OPERATOR}\s*(?P<value>.*)$", text)
    if match is None:
        name = re.match(r"[\w.-]*", text)
        metric = _metric(name[0] if name else text, parties, addresses)[1]
        message = f"{quoted(text)} has no operator. Permitted: {', '.join(metric.operators)}."
        raise Refusal(message, permitted=metric.operators, key=text)
    who, metric = _metric(match["name"], parties, addresses)
    operator = " ".join(_SAME.get(match["op"], match["op"]).split())
    rest = (match["rest"] or "").strip()
    header, message_name = _header(metric, rest)
    if operator not in metric.operators:
        tail, near = did_you_mean(operator, metric.operators)
        raise Refusal(
            f"{metric.name} cannot be judged with {operator}.{tail}",
            permitted=metric.operators,
            nearest=near,
            key=operator,
        )
    raw = match["value"].strip()
    value = _value(metric, operator, raw)
    written = " ".join((node.written or node.value).split())
    expected = f"{operator} {raw}".strip() if node.written is None else written[match.start("op") :].strip()
    return Condition(
        written, metric, operator, value, expected, who, header, message_name, address, node.mark
    )


def _metric(name: str, parties: Sequence[str], addresses: Sequence[str]) -> tuple[str | None, Metric]:
    if name in METRICS:
        return None, METRICS[name]
    address = re.match(r"(step\.\d+\.\d+)\.(.+)$", name)
    who, rest = (address[1], address[2]) if address else name.partition(".")[::2]
    if rest.startswith("received."):
        rest = rest.removeprefix("received.")
    if not rest or who == "received":
        known = rest or name
        if known not in METRICS:
            tail, near = did_you_mean(known, tuple(METRICS))
            raise Refusal(
                f"{quoted(known)} is nothing that can be measured.{tail}",
                permitted=tuple(METRICS),
                nearest=near,
                key=known,
            )
        return None, METRICS[known]
    everybody = ("caller", "callee", *parties)
    if (address and who not in addresses) or (not address and who not in everybody):
        permitted = tuple(addresses) if address else tuple(dict.fromkeys(everybody))
        tail, near = did_you_mean(who, permitted)
        what = "an action of this test" if address else "a party of this test"
        raise Refusal(f"{quoted(who)} is not {what}.{tail}", permitted=permitted, nearest=near, key=who)
    if rest not in METRICS:
        tail, near = did_you_mean(rest, tuple(METRICS))
        raise Refusal(
            f"{quoted(rest)} is nothing that can be measured.{tail}",
            permitted=tuple(METRICS),
            nearest=near,
            key=rest,
        )
    return who, METRICS[rest]


# Requests that a call or a registration may have heard, as `of` names them; a re-INVITE is inside the call.
_REQUESTS = (
    *("INVITE", "RE-INVITE", "ACK", "BYE", "CANCEL", "INFO", "UPDATE", "MESSAGE", "OPTIONS", "REGISTER"),
    *("NOTIFY", "REFER", "PRACK", "SUBSCRIBE", "PUBLISH"),
)


def _header(metric: Metric, rest: str) -> tuple[str, str]:
    if metric.kind != "header":
        if rest:
            raise Refusal(f"{quoted(rest)} stands between {metric.name} and its operator.", key=rest)
        return "", ""
    match = re.fullmatch(r"([\w!#$%&'*+.^`|-]+)(?:\s+of\s+([\w-]+))?", rest)
    if match is None:
        raise Refusal(
            "The name of a header is wanted. Write header X-Test = yes, or header X-Test of 180 ~ /a/."
        )
    message = (match[2] or "").upper()
    if message and message not in _REQUESTS and not re.fullmatch(r"[1-6]\d\d", message):
        raise Refusal(
            f"{quoted(message)} is not a message. Write INVITE, BYE, or a status such as 180.", key=message
        )
    return match[1], message


def _list(raw: str) -> tuple[str, ...]:
    inside = raw[1:-1] if raw.startswith("[") and raw.endswith("]") else raw
    return tuple(_bare(part.strip()) for part in inside.split(",") if part.strip())


def _bare(word: str) -> str:
    return word[1:-1] if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'" else word


def _value(metric: Metric, operator: str, raw: str) -> Any:
    if operator in ("present", "absent"):
        if raw:
            raise Refusal(f"{quoted(raw)} stands after {operator}, which takes no value.", key=raw)
        return None
    if not raw:
        raise Refusal(f"A value is wanted after {operator}.")
    if operator in ("~", "!~"):
        return _pattern(raw)
    if metric.kind == "time":
        if re.fullmatch(r"[\d.]+", raw):
            raise Refusal(f"{raw} has no unit. Write {raw} ms or {raw} s.", key=raw)
        return read_duration(raw) * 1000
    if metric.kind in ("number", "percent", "level", "count"):
        unit = metric.unit.strip()
        figure = raw.removesuffix(unit).strip() if unit else raw
        if re.fullmatch(r"-?\d+,\d+", figure):
            raise Refusal(f"{raw} is not a number. Write {raw.replace(',', '.')}, with a point.", key=raw)
        if not re.fullmatch(r"-?\d{1,12}(\.\d{1,12})?", figure):
            raise Refusal(f"{quoted(raw)} is not a number.", key=raw)
        return float(figure)
    words = _list(raw) if operator in ("in", "not in") or metric.kind == "states" else (_bare(raw),)
    if metric.kind == "code":
        return _codes(words, operator)
    if metric.kind == "flag":
        return Boolean().read(Text(words[0], NOWHERE))
    permitted = metric.choices or (CODECS if metric.name == "codec" else ())
    if permitted:
        for word in words:
            if word not in permitted and word.lower() not in [name.lower() for name in permitted]:
                tail, near = did_you_mean(word, permitted)
                noun = {"states": "call state", "codec": "codec we have"}.get(
                    metric.name, f"value of {metric.name}"
                )
                raise Refusal(
                    f"{quoted(word)} is not a {noun}.{tail}", permitted=permitted, nearest=near, key=word
                )
    return tuple(word.lower() for word in words) if metric.choices else words


def _codes(words: Sequence[str], operator: str) -> tuple[str, ...]:
    for word in words:
        if not re.fullmatch(r"[1-6](\d\d|xx)", word.lower()) or (operator[0] in "<>" and "x" in word.lower()):
            raise Refusal(f"{quoted(word)} is not a SIP status. Write 486, or 4xx for its class.", key=word)
    return tuple(word.lower() for word in words)


def _pattern(raw: str) -> Pattern:
    slashed = re.fullmatch(r"/(.*)/(i?)", raw)
    pattern = slashed[1] if slashed else _bare(raw)
    try:
        return compile_pattern(pattern, ignore_case=bool(slashed and slashed[2]))
    except PatternError as error:
        raise Refusal(
            f"{quoted(raw)} is not a regular expression that RE2 reads: {quoted(str(error))}.", key=raw
        ) from None
