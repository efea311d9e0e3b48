"""What each message of a ladder means, in the words of a VoIP engineer, told in order so that each knows the
earlier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from callwright.evidence.media_line import MediaLine
from callwright.evidence.shown import one_line
from callwright.evidence.statuses import refusal
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.message import Message, Request, Response

_PARAMETER = re.compile(r'\b(realm|algorithm|stale)\s*=\s*(?:"([^"]*)"|([^\s,"]+))', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Words:
    """The label and the note on the arrow, the explanation, and whether it deserves colour."""

    label: str
    note: str
    sentences: tuple[str, ...]
    trouble: bool = False


@dataclass(slots=True)
class _Call:
    """What was said so far under one Call-ID."""

    requests: dict[str, tuple[float, Request]] = field(default_factory=dict)
    """By CSeq: when it was first sent, and what it was."""
    answered: bool = False
    hung_up: bool = False
    media: dict[int, MediaLine] = field(default_factory=dict)
    """The last description of each lane."""
    final: int | None = None
    """The last final status of an INVITE."""


@dataclass(frozen=True, slots=True)
class _Context:
    at: float
    sender: str
    receiver: str
    media: MediaLine | None
    before: MediaLine | None
    """What the sender described before."""
    call: _Call


class Narrator:
    """Tells one ladder, message by message, in order of time."""

    def __init__(self) -> None:
        self._calls: dict[str, _Call] = {}

    def tell(
        self,
        message: Message | None,
        *,
        fault: str | None,
        at: float,
        sender: str,
        receiver: str,
        media: MediaLine | None,
        repeat_of: int | None,
        lost: bool,
        lanes: tuple[int, int],
        out_of_reach: bool = False,
    ) -> Words:
        """`out_of_reach`: the SDP names a private address to a receiver on another network. `fault` is why it
        is malformed, `repeat_of` the number of the message that it repeats, times in seconds.
        """
        if message is None:
            return Words(
                "not SIP",
                one_line(fault or "", 40),
                (f"{sender} sent octets that are not a SIP message: {fault}.",),
                trouble=True,
            )
        call = self._calls.setdefault(message.headers.get("Call-ID") or "", _Call())
        cseq = message.headers.get("CSeq") or ""
        context = _Context(at, sender, receiver, media, call.media.get(lanes[0]), call)
        words = _request(message, context) if isinstance(message, Request) else _response(message, context)
        sentences, note, trouble = list(words.sentences), words.note, words.trouble
        if repeat_of is not None:
            note = f"repeats {repeat_of}"
            sentences = [f"{sender} sends message {repeat_of} once more, since no answer to it came in time."]
        else:
            self._remember(message, call, cseq, context, lanes[0])
        if lost:
            note = "lost"
            sentences.append(f"It left {sender} and never reached {receiver}.")
        if out_of_reach and media is not None:
            trouble = True
            sentences.append(f"{receiver} is outside that network, so its audio cannot get there.")
        if fault is not None:
            trouble = True
            sentences.append(f"It is malformed: {fault}.")
        return Words(words.label, note, tuple(sentences), trouble)

    def _remember(self, message: Message, call: _Call, cseq: str, context: _Context, lane: int) -> None:
        if context.media is not None:
            call.media[lane] = context.media
        if isinstance(message, Request):
            call.requests.setdefault(_cseq_key(cseq), (context.at, message))
            call.hung_up = call.hung_up or message.method == "BYE"
        elif cseq.upper().endswith("INVITE") and message.status >= 200:
            call.final = message.status
            call.answered = call.answered or message.status < 300


def _cseq_key(cseq: str) -> str:
    return " ".join(cseq.split()).upper()


def duration(seconds: float) -> str:
    """As on a call: milliseconds below one second, then seconds."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.3f} s" if seconds < 9.9995 else f"{seconds:.1f} s"


def _user(message: Message, header: str) -> str:
    try:
        address = message.headers.to if header == "To" else message.headers.from_
    except SipSyntaxError:
        return "an unreadable address"
    return one_line(address.uri.user or address.uri.host or str(address.uri), 40)


def has_to_tag(message: Message) -> bool:
    """Whether it is inside a dialog."""
    try:
        return message.headers.to.tag is not None
    except SipSyntaxError:
        return False


def _challenge(message: Message) -> tuple[str, str, bool]:
    """Realm, algorithm and whether the nonce was merely stale."""
    text = message.headers.get("WWW-Authenticate") or message.headers.get("Proxy-Authenticate") or ""
    found = {m[1].lower(): m[2] if m[2] is not None else m[3] for m in _PARAMETER.finditer(text)}
    return (
        one_line(found.get("realm", ""), 60),
        one_line(found.get("algorithm", "MD5"), 20),
        found.get("stale", "").lower() == "true",
    )


def _carries_credentials(message: Message) -> bool:
    return "Authorization" in message.headers or "Proxy-Authorization" in message.headers


# -- requests ------------------------------------------------------------------------------------------------


def _request(message: Request, c: _Context) -> Words:
    teller = {
        "INVITE": _invite,
        "ACK": _ack,
        "BYE": _bye,
        "CANCEL": _cancel,
        "REGISTER": _register,
    }.get(message.method)
    if teller is not None:
        return teller(message, c)
    known = {
        "OPTIONS": f"{c.sender} asks {c.receiver} what it can do; any answer shows that it is alive.",
        "PRACK": f"{c.sender} confirms a reliable provisional response (RFC 3262).",
        "UPDATE": f"{c.sender} changes the session without a new INVITE (RFC 3311).",
        "INFO": f"{c.sender} sends information inside the call.",
        "MESSAGE": f"{c.sender} sends a text message.",
        "REFER": f"{c.sender} asks {c.receiver} to call somebody else: a transfer (RFC 3515).",
        "NOTIFY": f"{c.sender} reports on an event.",
        "SUBSCRIBE": f"{c.sender} subscribes to an event.",
        "PUBLISH": f"{c.sender} publishes its state.",
    }
    method = one_line(message.method, 24)
    sentence = known.get(message.method, f"{c.sender} sends a {method} request.")
    return Words(method, "", (sentence, *_media_sentences(c)))


def _invite(message: Request, c: _Context) -> Words:
    renewed = has_to_tag(message)
    media, sentences = c.media, []
    codecs = ", ".join(media.codecs) if media is not None else ""
    if renewed:
        sentences.append(_renewal(c))
        note = _audio_note(c) or codecs
    elif any("INVITE" in key for key in c.call.requests) and _carries_credentials(message):
        sentences.append(f"{c.sender} calls again, now with credentials.")
        note = "with credentials"
    else:
        sentences.append(f"{c.sender} calls {_user(message, 'To')}.")
        note = codecs or ("no offer" if media is None else "no codec")
    if media is None and not renewed:
        sentences.append("It has no SDP, so the other side makes the offer and the ACK carries the answer.")
    elif media is not None and not renewed:
        offered = len(media.codecs)
        plural = "" if offered == 1 else "s"
        sentences.append(f"It offers {offered} codec{plural}{': ' + codecs if codecs else ''}.")
    sentences += _media_sentences(c)
    return Words("re-INVITE" if renewed else "INVITE", note, tuple(sentences), trouble=False)


def _renewal(c: _Context) -> str:
    if c.media is None:
        return f"{c.sender} asks for a new offer inside the call."
    if c.media.held and not (c.before is not None and c.before.held):
        return f"{c.sender} puts {c.receiver} on hold: {c.media.direction}."
    if c.before is not None and c.before.held and not c.media.held:
        return f"{c.sender} takes {c.receiver} back from hold."
    return f"{c.sender} changes the session inside the call: a re-INVITE."


def _audio_note(c: _Context) -> str:
    if c.media is None:
        return ""
    if c.media.held:
        return f"hold, {c.media.direction}"
    if c.before is not None and c.before.held:
        return "resume"
    if c.before is not None and c.before.address != c.media.address:
        return f"audio to {one_line(c.media.address, 40)}"
    return ""


def _media_sentences(c: _Context) -> list[str]:
    media = c.media
    if media is None:
        return []
    address = one_line(media.address, 60)
    if media.port == 0:
        return ["Its audio line has port 0: no audio is wanted."]
    found = [f"Audio is to come to {address}, port {media.port}{', encrypted' if media.encrypted else ''}."]
    if media.port is None or media.port > 65535:
        found = [f"The port of its audio line cannot be used: {media.port}."]
    if c.before is not None and c.before.address != media.address:
        found = [f"{found[0].removesuffix('.')}; before, it was {one_line(c.before.address, 60)}."]
    if media.private:
        found.append(
            f"{address} is a private address (RFC 1918): nobody outside that network can send there."
        )
    return found


def _ack(message: Request, c: _Context) -> Words:
    if c.call.final is not None and c.call.final >= 300:
        return Words(
            "ACK", "", (f"{c.sender} confirms that it got the {c.call.final}. The attempt is over.",)
        )
    answer = ", ".join(c.media.codecs[:1]) if c.media is not None else ""
    return Words("ACK", answer, (f"{c.sender} confirms the answer. The call is up.", *_media_sentences(c)))


def _bye(message: Request, c: _Context) -> Words:
    reason = one_line(message.headers.get("Reason") or "", 80)
    sentences = [f"{c.sender} hangs up."]
    if reason:
        sentences.append(f"It says why: {reason}.")
    return Words("BYE", f"{c.sender} hangs up", tuple(sentences))


def _cancel(message: Request, c: _Context) -> Words:
    return Words(
        "CANCEL",
        "gives up",
        (f"{c.sender} gives up before an answer came. The INVITE has to end with 487 Request Terminated.",),
    )


def _register(message: Request, c: _Context) -> Words:
    contact = message.headers.get("Contact") or ""
    expires = message.headers.get("Expires") or ""
    found = re.search(r";\s*expires\s*=\s*(\d+)", contact, re.IGNORECASE)
    seconds = one_line(found[1] if found else expires, 10)
    account = _user(message, "To")
    if not contact:
        return Words("REGISTER", "asks", (f"{c.sender} asks where {account} is registered.",))
    if seconds == "0":
        return Words("REGISTER", "removes", (f"{c.sender} takes its registration as {account} back.",))
    how = ", now with credentials" if _carries_credentials(message) else ""
    length = f" for {seconds} s" if seconds else ""
    return Words(
        "REGISTER",
        "with credentials" if how else f"{account}{length}",
        (f"{c.sender} registers as {account}{length}{how}: calls to it come here.",),
    )


# -- responses -----------------------------------------------------------------------------------------------


def _response(message: Response, c: _Context) -> Words:
    cseq = message.headers.get("CSeq") or ""
    sent, request = c.call.requests.get(_cseq_key(cseq), (None, None))
    method = (cseq.split() or [""])[-1].upper()
    label = f"{message.status} {one_line(message.reason, 40)}".rstrip()
    after = f"{duration(c.at - sent)}" if sent is not None else ""
    if message.status < 200:
        return _provisional(message, c, label, after)
    if message.status < 300:
        return _success(message, c, label, method, after, request)
    return _refused(message, c, label, method, request)


def _provisional(message: Response, c: _Context, label: str, after: str) -> Words:
    media = _media_sentences(c)
    if message.status == 100:
        sentence = f"{c.sender} has the request and works on it."
        return Words(label, f"+{after}" if after else "", (sentence,))
    note = f"{after} after INVITE" if after else ""
    if message.status == 180:
        sentence = f"{c.sender} rings" + (
            f", {after} after the INVITE: the post-dial delay." if after else "."
        )
    elif message.status == 181:
        sentence = f"{c.sender} forwards the call."
    elif message.status == 182:
        sentence = f"{c.sender} has put the call into a queue."
    elif message.status == 183:
        sentence = f"{c.sender} reports progress" + (" and sends audio before the answer." if media else ".")
        note = "early media" if media else note
    else:
        sentence = f"{c.sender} reports progress."
    return Words(label, note, (sentence, *media))


def _success(
    message: Response, c: _Context, label: str, method: str, after: str, request: Request | None
) -> Words:
    if method == "INVITE":
        return _answered(message, c, label, after)
    sentences = {
        "BYE": f"{c.sender} agrees. The call is over.",
        "CANCEL": f"{c.sender} takes the CANCEL; the INVITE itself ends with its own answer.",
        "OPTIONS": f"{c.sender} is alive" + (f" and answered in {after}." if after else "."),
        "MESSAGE": f"{c.sender} took the message.",
    }
    if method == "REGISTER":
        return _registered(message, c, label, request)
    sentence = sentences.get(method, f"{c.sender} agrees to the {one_line(method, 24)}.")
    return Words(label, f"+{after}" if method == "OPTIONS" and after else "", (sentence,))


def _answered(message: Response, c: _Context, label: str, after: str) -> Words:
    media = c.media
    renewed = c.call.answered
    if media is None:
        return Words(label, "", (f"{c.sender} accepts, without a description of its audio.",))
    codec = ", ".join(media.codecs[:1])
    first = (
        f"{c.sender} accepts the change"
        if renewed
        else f"{c.sender} answers{f' {after} after the INVITE' if after else ''}"
    )
    sentence = first + (f" with {codec}." if codec else ".")
    note = ("accepts" if renewed else codec) if media.port else "no audio"
    return Words(label, note, (sentence, *_media_sentences(c)))


def _registered(message: Response, c: _Context, label: str, request: Request | None) -> Words:
    contacts = ", ".join(message.headers.get_all("Contact"))
    found = re.search(r";\s*expires\s*=\s*(\d+)", contacts, re.IGNORECASE)
    seconds = found[1] if found else one_line(message.headers.get("Expires") or "", 10)
    if not contacts:
        return Words(label, "nothing registered", (f"{c.sender} has no registration for this account now.",))
    return Words(
        label,
        f"for {seconds} s" if seconds else "",
        (f"{c.sender} accepts the registration{f' for {seconds} s' if seconds else ''}.",),
    )


def _refused(message: Response, c: _Context, label: str, method: str, request: Request | None) -> Words:
    named = f"{message.status} {one_line(message.reason, 60)}".rstrip()
    if message.status in {401, 407}:
        return _challenged(message, c, label, named, request)
    clause = refusal(message.status)
    sentences = [f"{c.sender} {clause}: {named}."]
    note = ""
    for header in ("Reason", "Warning"):
        value = one_line(message.headers.get(header) or "", 120)
        if value:
            sentences.append(f"{header} says: {value}.")
    retry = one_line(message.headers.get("Retry-After") or "", 40)
    if retry:
        sentences.append(f"It asks to wait {retry} s before the next try.")
        note = f"retry after {retry} s"
    contact = one_line(message.headers.get("Contact") or "", 80)
    if message.status < 400 and contact:
        sentences.append(f"The place to try is {contact}.")
        note = "redirects"
    if message.status == 403 and request is not None and _carries_credentials(request):
        sentences.append(
            "Credentials were sent: probably the account is known and the password or a right is not."
        )
    # The end that was asked for by CANCEL, and glare, are part of an ordinary call.
    return Words(
        label, note, tuple(sentences), trouble=message.status not in {487, 491} and message.status >= 400
    )


def _challenged(message: Response, c: _Context, label: str, named: str, request: Request | None) -> Words:
    realm, algorithm, stale = _challenge(message)
    where = f", realm “{realm}”, {algorithm}" if realm else ""
    if stale:
        sentence = f"{c.sender} takes the credentials but wants a fresh nonce: {named}, stale{where}."
        return Words(label, "stale nonce", (sentence,))
    if request is not None and _carries_credentials(request):
        sentence = f"{c.sender} does not accept the credentials it was sent: {named}{where}."
        return Words(
            label,
            "credentials refused",
            (sentence, "Probably the password is wrong, or the account belongs to another realm."),
            trouble=True,
        )
    sentence = f"{c.sender} asks for credentials: {named}{where}."
    return Words(label, "asks for credentials", (sentence,))
