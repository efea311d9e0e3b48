"""The words of a result: every reader and every condition knows them."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    PASSED = "passed"
    FAILED = "failed"  # the target or the network did not do what was asked
    INVALID = "invalid"  # measured, but not to be believed
    ERROR = "error"  # ours: it says nothing about the target
    CANCELED = "canceled"  # somebody stopped it


class Blame(StrEnum):
    TARGET = "target"
    NETWORK = "network"
    PLATFORM = "platform"
    TEST = "test"


class Direction(StrEnum):
    OUTGOING = "outgoing"  # we sent the INVITE
    INCOMING = "incoming"  # the INVITE came to us


class EndedBy(StrEnum):
    LOCAL = "local"  # we sent the BYE, the CANCEL or the final refusal
    REMOTE = "remote"  # the peer did
    NETWORK = "network"  # a timeout or a transport failure ended it
    PLATFORM = "platform"  # we broke


class CallState(StrEnum):
    """The vocabulary of ``states`` and of the conditions on them."""

    CALLING = "calling"  # INVITE sent
    INCOMING = "incoming"  # INVITE received
    TRYING = "trying"  # 100
    RINGING = "ringing"  # 180 (or 181, 182 and 183 without SDP)
    EARLY_MEDIA = "early_media"  # a provisional with SDP
    ANSWERED = "answered"  # 2xx to the INVITE
    CONFIRMED = "confirmed"  # ACK
    HELD = "held"  # we put the peer on hold
    RESUMED = "resumed"  # we took it back
    HELD_BY_PEER = "held_by_peer"
    RESUMED_BY_PEER = "resumed_by_peer"
    REDIRECTED = "redirected"  # 3xx
    CANCELED = "canceled"  # CANCEL sent or received
    FAILED = "failed"  # a final refusal, a timeout, a transport failure
    ENDED = "ended"  # BYE, or the end of the call by our own doing


class Failure(StrEnum):
    """Why a call, a registration or a request did not succeed, as the phone knows it; the verdict's input."""

    REFUSED = "refused"  # a final response of 300 to 699 that was not what we were after: see sip_code
    TIMEOUT = "timeout"  # no response at all came back (Timer B or F)
    NO_ANSWER = "no_answer"  # it rang (or was trying) and nobody answered in the time allowed
    UNREACHABLE = "unreachable"  # ICMP port or host unreachable, TCP connection refused or lost
    TLS = "tls"  # the handshake or the certificate
    UNRESOLVED = "unresolved"  # the host name has no address
    TRANSPORT = "transport"  # the URI asks for a transport that we do not speak
    NOT_BOUND = "not_bound"  # the registrar said 200 and keeps no binding of ours
    POLICY = "policy"  # our own policy refused to send
    MALFORMED = "malformed"  # the peer's message could not be used
    NO_CREDENTIALS = "no_credentials"  # challenged, and we have no password for that realm
    NOT_ACKNOWLEDGED = "not_acknowledged"  # our 2xx never got its ACK (32 s)
    SESSION_EXPIRED = "session_expired"  # nobody refreshed the session timer (RFC 4028)
    NEGOTIATION = "negotiation"  # the peer's SDP has no audio that we can use
    ICE = "ice"  # no pair of candidates works, so media has no way (RFC 8445)
    DTLS = "dtls"  # no keys came of the handshake, or the peer's certificate is not that of its SDP
    IDENTITY = "identity"  # the caller's signed identity did not hold, and we refused the call for it
    NEVER_CAME = "never_came"  # a call that was awaited did not come
    STOPPED = "stopped"  # from outside: Ctrl-C, stop, kill switch
    DEADLINE = "deadline"  # the run's own time was over first
    PLATFORM = "platform"  # our own fault; the detail says which
