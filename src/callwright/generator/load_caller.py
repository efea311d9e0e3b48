"""The calling side of the load loop without native code: INVITE, REGISTER, and what is answered to them."""

from __future__ import annotations

from callwright.generator.load_calls import Call, Calls
from callwright.generator.load_digest import answerable
from callwright.generator.load_media import ANSWERS, read_audio
from callwright.generator.load_message import LoadMessage, address_uri, tag_of


class Caller:
    """Places calls at a rate."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._config = calls.config
        self._numbers = calls.numbers
        self._wire = calls.wire
        self.rate = calls.config.rate
        self.concurrent = calls.config.concurrent
        self.paused = False
        self.registering = calls.config.registering
        self.next_account = 0
        self.next_start = 0.0

    @property
    def idle(self) -> bool:
        """Whether no call is placed now, whatever the time."""
        return self.rate <= 0 or self.paused or bool(self._calls.stopping) or not self._config.caller

    def start_calls(self) -> None:
        now, numbers = self._calls.now, self._numbers
        if self.idle:
            self.next_start = now
            return
        interval = 1.0 / self.rate
        self.next_start = min(self.next_start, now + interval)
        for _ in range(256):
            if self.next_start > now or self._calls.enough():
                return
            if self.concurrent and numbers.get("active") >= self.concurrent:
                numbers.add("withheld")
                self.next_start = now + interval
                return
            late = max(0, int((now - self.next_start) * 1e6))
            numbers.record("lateness", late)
            numbers.raise_to("latest_us", late)
            if late > 20_000:
                numbers.add("late")
            self._start()
            self.next_start += interval

    def _start(self) -> None:
        calls, config = self._calls, self._config
        call = calls.new()
        if config.accounts:
            if config.random_account:
                call.account = calls.random() % len(config.accounts)
            else:
                call.account = self.next_account
                self.next_account = (self.next_account + 1) % len(config.accounts)
        call.hold = config.hold
        if config.hold_spread:
            call.hold += calls.random() % (int(config.hold_spread * 1000 + 0.5) + 1) / 1000
        if not self.registering and calls.media is not None:
            call.stream = calls.media.open()
            if call.stream is None:
                calls.finish(call, "no_port")
                return
        call.state = "registering" if self.registering else "calling"
        self._wire.request("register" if self.registering else "invite", call, call.cseq)
        calls.timer(call, config.t1)

    def cancel(self, call: Call) -> None:
        call.state, call.repeats, call.marked = "canceling", 0, self._calls.now
        self._wire.request("cancel", call, call.cseq)
        self._calls.timer(call, self._config.t1)

    # -- what is answered

    def on_response(self, m: LoadMessage) -> None:
        branch = m.branch
        mine = len(branch) == 37 and branch.startswith(b"z9hG4bK")
        call = self._calls.named(branch[7:]) if mine else None
        if call is None or isinstance(call, bool):
            self._numbers.add("stray")
            return
        self._calls.heard(call, m)
        if branch[34:35] == b"x":
            return  # to the BYE of a second answer
        if m.method == 1:
            self._on_invite_response(call, m)
        elif m.method == 3:
            self._on_bye_response(call, m)
        elif m.method == 6:
            self._on_register_response(call, m)
        elif m.method != 4:
            self._numbers.add("stray")

    def _ack_failed(self, call: Call, m: LoadMessage) -> None:
        data = self._wire.fill("ack_failed", call, m.cseq, m.to_value)
        self._wire.send(self._calls.say(call, data), None)

    def _note_retry_after(self, m: LoadMessage) -> None:
        if m.retry_after >= 0:
            self._numbers.add("retry_after")
            self._numbers.raise_to("retry_after_max", m.retry_after)

    def _challenged(self, call: Call, m: LoadMessage) -> bool:
        if m.status not in (401, 407) or self._config.user_column < 0 or call.tried:
            return False
        if not answerable(m.challenge):
            return False  # a hash that is not known here: the refusal stands
        call.tried, call.challenge, call.proxy_challenge = True, m.challenge, m.proxy_challenge
        call.cseq += 1
        call.repeats, call.marked = 0, self._calls.now
        self._numbers.add("challenged")
        return True

    def _on_invite_response(self, call: Call, m: LoadMessage) -> None:
        waiting = call.state in ("calling", "proceeding", "canceling")
        if m.cseq != call.cseq:
            if m.status >= 300 and m.cseq < call.cseq:
                self._numbers.add("repeated")
                self._ack_failed(call, m)
            else:
                self._numbers.add("stray")
        elif m.status < 200:
            if waiting:
                self._on_provisional(call, m)
            else:
                self._numbers.add("stray")
        elif m.status < 300:
            if waiting:
                self._answered_by_peer(call, m)
            elif call.answered and call.target:
                self._numbers.add("repeated")
                if tag_of(m.to_value) == tag_of(call.remote):
                    self._wire.request("ack", call, call.cseq)
                else:
                    self._end_fork(call, m)
            else:
                self._numbers.add("stray")
        elif call.state == "completed":
            self._numbers.add("repeated")
            self._ack_failed(call, m)
        elif waiting:
            self._on_refusal(call, m)
        else:
            self._numbers.add("stray")

    def _end_fork(self, call: Call, m: LoadMessage) -> None:
        """Who answered second is acknowledged and hung up on; each repeat of the answer brings both again."""
        kept = call.remote, call.target, call.routes, call.peer
        if tag_of(m.to_value) and self._store_dialog(call, m):
            self._wire.request("ack", call, call.cseq)
            bye = self._wire.fill("bye", call, call.cseq + 1, call.remote, letter=b"x")
            self._wire.send(self._calls.say(call, bye), call.peer)
        call.remote, call.target, call.routes, call.peer = kept

    def _store_dialog(self, call: Call, m: LoadMessage) -> bool:
        """What ACK and BYE need: To with its tag, remote target, route set in reverse order (12.1.2)."""
        # Without the Contact that a 2xx must have, where the INVITE went is the best there is.
        target, routes = address_uri(m.contact_value) or self._wire.request_uri(call), m.routes
        call.remote, call.target = m.to_value, target
        call.routes = b"".join(b"Route: %b\r\n" % value for value in reversed(routes))
        call.peer = self._wire.next_hop(address_uri(routes[-1]) if routes else target)
        return True

    def _on_provisional(self, call: Call, m: LoadMessage) -> None:
        if call.state == "calling":
            call.state = "proceeding"
            if call.stopped:
                self.cancel(call)
            else:
                self._calls.timer(call, self._config.cancel_after or self._config.ring_for)
        if m.status > 100 and not call.heard:
            call.heard, call.pdd = True, self._calls.now - call.started
            self._numbers.record("pdd", call.pdd * 1e6)

    def _on_refusal(self, call: Call, m: LoadMessage) -> None:
        calls, canceling = self._calls, call.state == "canceling"
        self._ack_failed(call, m)
        self._note_retry_after(m)
        if not canceling and not call.stopped and self._challenged(call, m):
            call.state = "calling"
            self._wire.request("invite", call, call.cseq)
            calls.timer(call, self._config.t1)
            return
        call.code, call.state = m.status, "completed"
        calls.timer(call, 64 * self._config.t1)
        if canceling and m.status == 487:
            mine = call.stopped or self._config.cancel_after
            calls.finish(call, "canceled" if mine else "no_answer", keep=True)
        else:
            calls.finish(call, "status", keep=True)

    def _answered_by_peer(self, call: Call, m: LoadMessage) -> None:
        """The first 2xx of an INVITE."""
        calls, numbers = self._calls, self._numbers
        call.answered, call.code = True, m.status
        call.setup = calls.now - call.started
        if not call.heard:
            call.heard, call.pdd = True, call.setup
            numbers.record("pdd", call.pdd * 1e6)
        numbers.record("setup", call.setup * 1e6)
        numbers.add("established")
        if not tag_of(m.to_value) or not self._store_dialog(call, m):
            calls.finish(call, "unexpected")
            return
        if self._wire.wills is not None:
            self._wire.wills.answered(call.number, m.whole)
        self._wire.request("ack", call, call.cseq)
        if call.state == "canceling" or call.stopped:
            call.late = not (call.stopped or self._config.cancel_after)
            calls.bye(call)
            return
        if call.stream is not None and calls.media is not None:
            # Answered without audio that we could send, the call goes on: it is judged by what comes in.
            said = read_audio(m.body)
            calls.media.start(call.stream, m.body, self._config.remote)
            calls.media.promise(call.stream, m.body, answered=False)
            calls.media.direct(call.stream, ANSWERS[said.direction], calls.now)
        if not call.hold:
            calls.bye(call)
        else:
            call.state = "talking"
            calls.timer(call, call.hold)

    def _on_bye_response(self, call: Call, m: LoadMessage) -> None:
        if call.state != "ending":
            self._numbers.add("repeated" if call.state == "free" else "stray")
        elif m.cseq != (1 if call.incoming else call.bye_cseq):
            self._numbers.add("repeated")  # of the BYE before the credentials
        elif m.status >= 200:
            if self._bye_challenged(call, m):
                return
            self._numbers.record("bye", (self._calls.now - call.marked) * 1e6)
            call.code = m.status
            if m.status >= 300 and m.status not in (408, 481):
                self._calls.finish(call, "status")
            else:
                self._calls.finish(call, "no_ack" if call.incoming and not call.answered else "answered")

    def _bye_challenged(self, call: Call, m: LoadMessage) -> bool:
        """A BYE that is asked for credentials gets them, else the call would stay up at the far end."""
        if m.status not in (401, 407) or self._config.user_column < 0 or call.incoming or call.bye_challenge:
            return False
        if not answerable(m.challenge):
            return False
        call.bye_challenge, call.proxy_challenge, call.repeats = m.challenge, m.proxy_challenge, 0
        self._numbers.add("challenged")
        self._calls.send_bye(call)
        self._calls.timer(call, self._config.t1)
        return True

    def _on_register_response(self, call: Call, m: LoadMessage) -> None:
        if call.state != "registering" or m.cseq != call.cseq:
            self._numbers.add("repeated")
        elif m.status >= 200:
            if self._challenged(call, m):
                self._wire.request("register", call, call.cseq)
                self._calls.timer(call, self._config.t1)
                return
            self._note_retry_after(m)
            call.code = m.status
            if m.status >= 300:
                self._calls.finish(call, "status")
                return
            call.setup = self._calls.now - call.started
            self._numbers.record("register", call.setup * 1e6)
            self._numbers.add("registered")
            self._calls.finish(call, "answered")
