"""The answering side of the load loop without native code: INVITE, and requests inside dialogs."""

from __future__ import annotations

from callwright.generator.load_calls import Call, Calls
from callwright.generator.load_media import ANSWERS, read_audio
from callwright.generator.load_message import LoadMessage, address_uri, number, tag_of
from callwright.sip.status import reason_phrase
from callwright.sip.transport import Address


class Answerer:
    """Answers, or refuses, what comes in; in-dialog requests of calls that we placed as well."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._config = calls.config
        self._numbers = calls.numbers
        self._wire = calls.wire

    # -- responses

    def _reply(
        self,
        m: LoadMessage,
        source: Address,
        status: int,
        tail: str = "empty",
        tag: bytes = b"",
        call: Call | None = None,
    ) -> None:
        """To a request as it stands, its headers copied."""
        to = m.to_value + (b";tag=" + tag if tag and not tag_of(m.to_value) else b"")
        data = b"%b%bFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %b\r\n" % (
            _status_line(status),
            _via_lines(m, source),
            m.from_value,
            to,
            m.call_id,
            m.cseq_value,
        )
        data += self._wire.fill(tail, call, m.cseq, b"")
        if call is not None:
            self._calls.say(call, data)
        self._wire.send(data, _reply_address(m, source))

    def respond(self, call: Call, status: int, tail: str) -> None:
        """To the INVITE of a call, as often as it is needed."""
        data = b"%b%bFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %d INVITE\r\n" % (
            _status_line(status),
            call.headers,
            call.remote,
            call.local,
            call.call_id,
            call.invite_cseq,
        )
        self._wire.send(self._calls.say(call, data + self._wire.fill(tail, call, 0, b"")), call.peer)

    def answer(self, call: Call) -> None:
        calls = self._calls
        call.state, call.marked, call.repeats = "answered", calls.now, 0
        self._numbers.add("established")
        call.setup = calls.now - call.started
        self._numbers.record("setup", call.setup * 1e6)
        if call.stream is not None and calls.media is not None:
            calls.media.direct(call.stream, call.direction, calls.now)
        if self._wire.wills is not None and call.peer is not None:
            invite = b"INVITE sip:us@invalid SIP/2.0\r\n%bFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\n" % (
                call.headers,
                call.remote,
                call.local,
                call.call_id,
            )
            invite += b"CSeq: %d INVITE\r\nContact: <%b>\r\n\r\n" % (call.invite_cseq, call.target)
            self._wire.wills.taken(call.number, invite, call.account, call.peer)
        self.respond(call, 200, "ok")
        calls.timer(call, self._config.t1)

    def refuse(self, call: Call, status: int) -> None:
        call.state, call.marked, call.repeats, call.code = "rejected", self._calls.now, 0, status
        self.respond(call, status, "empty")
        self._calls.timer(call, self._config.t1)

    # -- requests

    def on_request(self, m: LoadMessage, source: Address) -> None:
        if m.method == 1:
            self._on_invite(m, source)
            return
        if m.method == 6:
            self._on_register(m, source)
            return
        if m.method == 4:
            call = self._calls.by_key.get((m.call_id, tag_of(m.from_value)))
            if call is not None:
                self._calls.heard(call, m)
            self._reply(m, source, 481 if call is None else 200, tag=b"cw0", call=call)
            if call is not None and call.state == "ringing":
                self.refuse(call, 487)
            return
        found = self._named(m)
        if found is None or isinstance(found, bool):
            if m.method == 2:
                self._numbers.add("stray")
            elif m.method == 3 and found:
                self._numbers.add("repeated")
                self._reply(m, source, 200)
            else:
                self._reply(m, source, 200 if m.method == 5 else 481, tag=b"cw0")
            return
        self._calls.heard(found, m)
        if m.method == 2:
            self._on_ack(found)
        elif m.method == 3:
            self._on_bye(found, m, source)
        elif found.state == "free":
            self._reply(m, source, 481, call=found)
        else:
            # An offer needs an answer (RFC 3311 section 5.2).
            if m.method == 8:
                self._offered(found, m)
            self._reply(m, source, 200, "ok" if m.method == 8 and m.body else "empty", call=found)

    def _named(self, m: LoadMessage) -> Call | bool | None:
        """The call of an in-dialog request, by the tag or the Call-ID that we made."""
        found = self._calls.named(tag_of(m.to_value))
        if found is None and m.call_id.startswith(b"cw"):
            found = self._calls.named(m.call_id[2:])
        return found

    def _on_reinvite(self, m: LoadMessage, source: Address) -> None:
        """INVITE to the side that calls: agreed to as it is within a call, else we are busy."""
        call = self._named(m)
        if not tag_of(m.to_value):
            self._reply(m, source, 486, tag=b"cw0")
        elif call is None or isinstance(call, bool):
            self._reply(m, source, 481)
        else:
            self._calls.heard(call, m)
            if call.state == "talking":
                self._offered(call, m)
                self._reply(m, source, 200, "ok", call=call)
            else:  # 491: our own INVITE is not answered (14.2)
                self._reply(m, source, 481 if call.state in ("ending", "free") else 491, call=call)

    def _offered(self, call: Call, m: LoadMessage) -> None:
        """An offer within a call, by re-INVITE or UPDATE: where its audio goes from now on, and whether it
        goes and is due (RFC 3264 section 8)."""
        if not m.body or call.state not in ("answered", "confirmed", "talking"):
            return
        ours = ANSWERS[read_audio(m.body).direction]
        if ours != call.direction:
            call.direction, call.version = ours, call.version + 1 & 0xFF
        media = self._calls.media
        if call.stream is not None and media is not None:
            media.again(call.stream, m.body, call.peer or self._config.remote)
            media.direct(call.stream, ours, self._calls.now)

    def _on_register(self, m: LoadMessage, source: Address) -> None:
        if not self._config.answerer:
            self._reply(m, source, 501, tag=b"cw0")
            return
        self._numbers.add("registrations")
        if "challenge" in self._config.messages and not m.authorization:
            self._reply(m, source, 401, "challenge", tag=b"cw0")
        else:
            self._reply(m, source, 200, "registered", tag=b"cw0")

    def _on_invite(self, m: LoadMessage, source: Address) -> None:
        if not self._config.answerer:
            self._on_reinvite(m, source)
            return
        key, inside = (m.call_id, tag_of(m.from_value)), bool(tag_of(m.to_value))
        call = self._calls.by_key.get(key)
        if call is not None:
            self._on_known_invite(call, m, source, inside)
        elif inside:
            self._reply(m, source, 481)
        elif self._calls.stopping or self._calls.enough():
            self._reply(m, source, 503, tag=b"cw0")
        else:
            self._take(m, source, key)

    def _take(self, m: LoadMessage, source: Address, key: tuple[bytes, bytes]) -> None:
        """A call that is new."""
        calls, config = self._calls, self._config
        call = calls.new()
        calls.heard(call, m)
        call.incoming, call.key, call.peer = True, key, _reply_address(m, source)
        call.headers = _via_lines(m, source) + b"".join(
            b"Record-Route: %b\r\n" % route for route in m.record_routes
        )
        call.remote, call.call_id, call.invite_cseq = m.from_value, m.call_id, m.cseq
        call.local = m.to_value + b";tag=%08x-%b" % (config.salt, self._wire.id(call))
        call.target = address_uri(m.contact_value or m.from_value)
        call.routes = b"".join(b"Route: %b\r\n" % value for value in m.routes)
        calls.by_key[key] = call
        if config.reject:
            self.refuse(call, config.reject)
            return
        said = read_audio(m.body)
        call.direction = ANSWERS[said.direction]
        if calls.media is not None:
            call.stream = calls.media.open()
            if call.stream is None:
                call.for_want_of_port = True
                self.refuse(call, 503)
                return
            calls.media.start(call.stream, m.body, source)
            calls.media.promise(call.stream, m.body, answered=False)
        if config.trying:
            self.respond(call, 100, "empty")
        if config.ringing:
            self.respond(call, 180, "ringing")
        if config.ring_time:
            call.state = "ringing"
            calls.timer(call, config.ring_time)
        else:
            self.answer(call)

    def _on_known_invite(self, call: Call, m: LoadMessage, source: Address, inside: bool) -> None:
        self._calls.heard(call, m)
        if inside:
            if call.state in ("confirmed", "answered"):
                call.invite_cseq = m.cseq
                self._offered(call, m)
                self._reply(m, source, 200, "ok", call=call)
            else:
                self._numbers.add("repeated")
                self._reply(m, source, 481, call=call)
            return
        self._numbers.add("repeated")
        if call.state == "ringing":
            ringing = self._config.ringing
            self.respond(call, 180 if ringing else 100, "ringing" if ringing else "empty")
        elif call.state == "answered":
            self.respond(call, 200, "ok")
        elif call.state == "rejected":
            self.respond(call, call.code, "empty")

    def _on_ack(self, call: Call) -> None:
        calls = self._calls
        if call.state == "answered":
            call.state, call.answered, call.due = "confirmed", True, 0.0
            call.pdd = calls.now - call.marked
            self._numbers.add("confirmed")
            if calls.stopping == 2:
                calls.bye(call)
            elif self._config.hold:
                calls.timer(call, self._config.hold)
        elif call.state == "rejected":
            missing = "no_port" if call.for_want_of_port else "status"
            calls.finish(call, "canceled" if call.code == 487 else missing)
        elif call.incoming:  # else of a re-INVITE
            self._numbers.add("repeated")

    def _on_bye(self, call: Call, m: LoadMessage, source: Address) -> None:
        self._reply(m, source, 200, call=call)
        if call.state in ("free", "completed"):
            self._numbers.add("repeated")
            return
        if call.state == "answered":
            # BYE before the ACK: the ACK was lost, or overtaken; the caller has our answer.
            call.answered = True
            self._numbers.add("confirmed")
        if call.state in ("answered", "confirmed", "talking", "ending"):
            if not call.incoming and call.state != "ending":
                self._numbers.add("hung_up")
            call.code = 200
            call.hung_up = call.state != "ending"
            self._calls.finish(call, "answered")
        elif call.state == "ringing":
            self.refuse(call, 487)  # before the answer, BYE ends the INVITE as CANCEL does (15.1.2)


def _via_lines(m: LoadMessage, source: Address) -> bytes:
    vias = list(m.vias)
    if m.has_rport:
        lowered = vias[0].lower()
        at = next(
            i
            for i in range(len(lowered))
            if lowered.startswith(b";rport", i) and lowered[i + 6 : i + 7] in (b"", b";", b",", b" ", b"\t")
        )
        filled = b"=%d;received=%b" % (source.port, source.host.encode())
        vias[0] = vias[0][: at + 6] + filled + vias[0][at + 6 :]
    return b"".join(b"Via: %b\r\n" % via for via in vias)


def _reply_address(m: LoadMessage, source: Address) -> Address:
    if m.has_rport:
        return source
    _, colon, port = m.sent_by.rpartition(b":")
    found = number(port) if colon and port.isdigit() else None
    return Address(source.host, found if found and found < 65536 else 5060)


def _status_line(status: int) -> bytes:
    return b"SIP/2.0 %d %b\r\n" % (status, reason_phrase(status).encode())
