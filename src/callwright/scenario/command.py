"""What the interpreter asks a runner to do. See ``interpreter`` for the contract."""

from __future__ import annotations

from dataclasses import dataclass

from callwright.ice.wish import NO_ICE, IceWish
from callwright.outcome.run import RunOutcome
from callwright.scenario.actions import Accept, Call
from callwright.scenario.identity import NOTHING_SAID, CallerWords
from callwright.scenario.load_condition import LoadCondition
from callwright.scenario.party import PartyAccount
from callwright.sip.session_timer import NO_WISH, SessionWish
from callwright.srtp.wish import NO_SRTP, SrtpWish

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Register:
    """Register and keep registered; answered by RegistrationDone, once."""

    id: str  # "step.0.0/1"
    address: str
    account: PartyAccount
    registrar: str  # host or host:port
    expires: int  # seconds
    headers: Headers = ()
    outbound: int | None = None  # the number of the flow
    instance: str = ""
    gruu: bool = False
    keepalive: float | None = None  # seconds
    third_party: str = ""
    contacts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unregister:
    """Answered by RegistrationEnded."""

    id: str


@dataclass(frozen=True, slots=True)
class Listen:
    """Take calls for a party from now on; answered by Listening, or ActionFailed. Calls come as
    CallArrived."""

    address: str
    account: PartyAccount


@dataclass(frozen=True, slots=True)
class StopListening:
    address: str


@dataclass(frozen=True, slots=True)
class TakeCall:
    """What to do with a call that arrived: ring, then answer, or refuse when ``reject`` is set."""

    id: str
    address: str
    ring: float  # seconds before the answer or the refusal; 0 does not ring
    early_media: bool
    reject: int | None
    reject_reason: str
    codecs: tuple[str, ...]
    play: str  # "speech", "tone", "silence" or a path
    echo: bool
    dtmf: str
    media: bool
    record: bool
    headers: Headers = ()
    prack: str = "offered"
    early_update: float | None = None
    session: SessionWish = NO_WISH
    dtmf_by: str = "event"
    detect_tones: bool = False
    srtp: SrtpWish = NO_SRTP
    ice: IceWish = NO_ICE
    transfers: bool = False
    auto_answer: bool = False
    verify_identity: str = "no"


@dataclass(frozen=True, slots=True)
class RefuseCall:
    """Nothing in the test takes this call. No CallFinished is wanted for it."""

    id: str
    status: int


@dataclass(frozen=True, slots=True)
class PlaceCall:
    """Answered by CallStateChanged at every state, and by CallFinished, once."""

    id: str  # "step.1.0/1"
    address: str
    account: PartyAccount
    uri: str
    dialled: str  # as the document says it
    codecs: tuple[str, ...]
    play: str
    dtmf: str
    caller_id: str  # "", a number, or '"Name" <number>'
    transport: str
    follow: bool
    media: bool
    record: bool
    headers: Headers = ()
    prack: str = "offered"
    early_update: float | None = None
    session: SessionWish = NO_WISH
    dtmf_by: str = "event"
    detect_tones: bool = False
    offer_by: str = "reinvite"
    srtp: SrtpWish = NO_SRTP
    ice: IceWish = NO_ICE
    transfers: bool = False
    caller: CallerWords = NOTHING_SAID
    body: bytes = b""
    body_type: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    id: str


@dataclass(frozen=True, slots=True)
class Resume:
    id: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """CANCEL an INVITE that has no answer yet; if the answer won the race, hang up."""

    id: str


@dataclass(frozen=True, slots=True)
class Hangup:
    """End a call in whatever state it is: BYE, CANCEL or a refusal."""

    id: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """Refer the peer of ``call`` to ``uri``, or have it take the call ``replaces`` over; answered by
    RequestDone, once its outcome was told."""

    id: str  # "step.1.1/refer"
    address: str
    account: PartyAccount
    call: str
    uri: str
    replaces: str = ""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Answered by RequestDone, once it has ended: refused, by the peer, or by Unsubscribe."""

    id: str
    address: str
    account: PartyAccount
    uri: str
    event: str
    expires: int  # seconds
    accept: str = ""
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Publish:
    """Answered by RequestDone, once it was refused, or taken back by Unsubscribe."""

    id: str
    address: str
    account: PartyAccount
    uri: str
    event: str
    body: str
    type: str
    expires: int  # seconds
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """End a subscription, or what was published."""

    id: str


@dataclass(frozen=True, slots=True)
class SendOptions:
    """Answered by RequestDone."""

    id: str
    address: str
    account: PartyAccount
    uri: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class SendRaw:
    """Answered by RequestDone."""

    id: str
    address: str
    account: PartyAccount
    uri: str
    octets: bytes
    timeout: float


@dataclass(frozen=True, slots=True)
class SendMessage:
    """Answered by RequestDone."""

    id: str
    address: str
    account: PartyAccount
    uri: str
    text: str
    content_type: str
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class PlaceLoad:
    """Many calls by the load engine, as `action` says; answered by LoadFinished, once. The engine judges
    `conditions`, and the calls themselves where these leave them to it."""

    id: str  # "step.1.0/load"
    address: str
    action: Call
    account: PartyAccount
    uri: str
    conditions: tuple[LoadCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class AnswerLoad:
    """Calls to a party are answered by the load engine; Listening when it does, LoadFinished at its end."""

    id: str
    address: str
    action: Accept
    account: PartyAccount
    conditions: tuple[LoadCondition, ...] = ()


@dataclass(frozen=True, slots=True)
class StopLoad:
    """No new calls. Those that are up are ended at once, or, with `gently`, after a while in which they may
    end by themselves. LoadFinished comes within some seconds."""

    id: str
    gently: bool = False


@dataclass(frozen=True, slots=True)
class Finish:
    """The last command. The runner adds id, times of day, version and evidence to the outcome."""

    outcome: RunOutcome


Command = (
    Register
    | Unregister
    | Listen
    | StopListening
    | TakeCall
    | RefuseCall
    | PlaceCall
    | Hold
    | Resume
    | Cancel
    | Hangup
    | Transfer
    | Subscribe
    | Publish
    | Unsubscribe
    | SendOptions
    | SendMessage
    | SendRaw
    | PlaceLoad
    | AnswerLoad
    | StopLoad
    | Finish
)
