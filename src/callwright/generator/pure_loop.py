"""The load loop without native code: the twin of `_loop.pyx`, which says why things are as they are.

It keeps the same rules and the same numbers at a tenth of the rate. Its rooms: `load_calls` (the table,
timers, the end of calls), `load_caller` and `load_answerer` (the two sides), `load_wire` (what is sent),
`load_message` (what is read), `load_media` and `load_stream` (RTP), `load_numbers` (what is counted).
"""

from __future__ import annotations

import select
import socket
import time

from callwright.generator.load_answerer import Answerer
from callwright.generator.load_caller import Caller
from callwright.generator.load_calls import Call, Calls, unended
from callwright.generator.load_message import parse
from callwright.generator.load_numbers import Numbers
from callwright.generator.loop import CallNoted, Ladder, LoopConfig
from callwright.net.udp import read_error_queue
from callwright.sip.transport import Address

_MOST_WAIT = 0.01


class LoadLoop:
    """See `callwright.generator.loop.Loop`."""

    def __init__(self, config: LoopConfig) -> None:
        self._config = config
        self._numbers = Numbers()
        self._calls = Calls(config, self._numbers)
        self._caller = Caller(self._calls)
        self._answerer = Answerer(self._calls)
        self._sockets = self._calls.wire.sockets
        self._stop_seconds = 8.0
        self._stop_deadline = 0.0
        self._heard = 0.0
        self._running = False

    # -- what another thread asks

    @property
    def local(self) -> tuple[str, int]:
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    @property
    def descriptors(self) -> tuple[int, ...]:
        wills = self._calls.wire.wills
        return (wills.descriptor, *(sock.fileno() for sock in self._sockets)) if wills is not None else ()

    @property
    def rate(self) -> float:
        return self._caller.rate

    @rate.setter
    def rate(self, value: float) -> None:
        self._caller.rate = max(0.0, value)

    @property
    def concurrent(self) -> int:
        return self._caller.concurrent

    @concurrent.setter
    def concurrent(self, value: int) -> None:
        self._caller.concurrent = value

    @property
    def paused(self) -> bool:
        return self._caller.paused

    @paused.setter
    def paused(self, value: bool) -> None:
        self._caller.paused = value

    @property
    def registering(self) -> bool:
        return self._caller.registering

    def begin(self, *, registering: bool, calls: int, rate: float) -> None:
        self._caller.registering, self._calls.limit, self.rate = registering, calls, rate
        self._calls.stopping, self._stop_deadline, self._caller.next_account = 0, 0.0, 0
        self._numbers.clear()

    def stop(self, how: int, seconds: float = 8.0) -> None:
        self._stop_seconds = seconds
        self._calls.stopping = max(self._calls.stopping, how)

    def counters(self) -> list[int]:
        return self._numbers.counters()

    def take_latest(self) -> int:
        return self._numbers.take_latest()

    def codes(self) -> dict[int, int]:
        return self._numbers.codes()

    def histogram(self, which: int) -> bytes:
        return self._numbers.histogram(which)

    def histograms(self) -> bytes:
        return self._numbers.histograms()

    def note_slower_than(self, microseconds: int) -> None:
        self._numbers.slower_us = microseconds

    def note_worse_than(self, mos: float) -> None:
        self._numbers.worse_mos = int(mos * 1000)

    def notables(self, since: int) -> tuple[int, list[CallNoted]]:
        return self._numbers.notables(since)

    def ladders(self) -> list[Ladder]:
        return [] if self._running else self._numbers.ladders()

    def close(self) -> None:
        self._calls.close()

    # -- the loop

    def run(self, seconds: float | None = None) -> bool:
        self._running = True
        try:
            return self._run(seconds)
        finally:
            self._running = False

    def _run(self, seconds: float | None) -> bool:
        calls, media = self._calls, self._calls.media
        calls.now = time.monotonic()
        if not calls.began:
            calls.began = self._heard = calls.now
        self._caller.next_start = calls.now
        until = calls.now + seconds if seconds is not None else float("inf")
        while True:
            calls.now = time.monotonic()
            self._receive()
            for call in calls.fired():
                self._fire(call)
            self._caller.start_calls()
            if media is not None:
                media.turn(calls.began, calls.now)
            self._numbers.add("turns")
            self._numbers.set("cpu_ns", time.thread_time_ns())
            if self._finished():
                return True
            if calls.now >= until:
                return False
            select.select(self._sockets, [], [], self._rest())

    def _rest(self) -> float:
        """Seconds until something is due."""
        calls, wait = self._calls, _MOST_WAIT
        due = calls.next_timer()
        if due is not None:
            wait = min(wait, max(0.0, due - calls.now))
        if not self._caller.idle and not calls.enough():
            wait = min(wait, max(0.0, self._caller.next_start - calls.now))
        return calls.media.rest(wait, calls.began) if calls.media is not None else wait

    def _finished(self) -> bool:
        calls = self._calls
        if calls.stopping >= 3:
            calls.abandon()
            return True
        if calls.stopping == 2:
            if not self._stop_deadline:
                self._stop_deadline = calls.now + self._stop_seconds
                self._stop_all()
            if calls.now > self._stop_deadline:
                calls.abandon()
                return True
        if self._numbers.get("active"):
            return False
        if self._config.answerer:
            return bool(calls.stopping or calls.enough()) and calls.now - self._heard > self._config.quiet
        return calls.stopping > 0 or calls.enough()

    def _stop_all(self) -> None:
        for call in self._calls:
            if call.state in ("talking", "confirmed"):
                call.stopped = True
                self._calls.bye(call)
            elif call.state == "proceeding":
                call.stopped = True
                self._caller.cancel(call)
            elif call.state in ("calling", "registering"):
                call.stopped = True  # CANCEL only after a provisional response (9.1)
            elif call.state == "ringing":
                call.stopped = True
                self._answerer.refuse(call, 487)

    def _fire(self, call: Call) -> None:
        calls, wire, t2 = self._calls, self._calls.wire, self._config.t2
        canceled = "canceled" if call.stopped else "timeout"
        match call.state:
            case "calling":
                if calls.too_long(call, None):
                    calls.finish(call, canceled)
                else:
                    wire.request("invite", call, call.cseq)
            case "registering":
                if calls.too_long(call, t2):
                    calls.finish(call, canceled)
                else:
                    wire.request("register", call, call.cseq)
            case "proceeding":
                self._caller.cancel(call)
            case "talking" | "confirmed":
                calls.bye(call)
            case "ending":
                if calls.too_long(call, t2):
                    calls.finish(call, unended(call, "bye_timeout"))
                else:
                    calls.send_bye(call)
            case "canceling":
                if calls.too_long(call, t2):
                    mine = call.stopped or self._config.cancel_after
                    calls.finish(call, "canceled" if mine else "no_answer")
                else:
                    wire.request("cancel", call, call.cseq)
            case "completed":
                calls.forget(call)
            case "ringing":
                self._answerer.answer(call)
            case "answered":
                if calls.too_long(call, t2):
                    calls.bye(call)  # 13.3.1.4: no ACK in 64·T1, so the session is ended
                else:
                    self._answerer.respond(call, 200, "ok")
            case "rejected":
                if calls.too_long(call, t2):
                    calls.finish(call, "canceled" if call.code == 487 else "no_ack")
                else:
                    self._answerer.respond(call, call.code, "empty")

    # -- receiving

    def _receive(self) -> None:
        for sock in self._sockets:
            for _ in range(512):
                try:
                    data, name = sock.recvfrom(8192)
                except BlockingIOError:
                    break
                except OSError:
                    self._refusals(sock)
                    continue
                self._heard = self._calls.now
                self._numbers.add("received")
                message = parse(data)
                if message is None:
                    self._numbers.add("malformed", int(len(data) > 4))
                elif message.status:
                    self._caller.on_response(message)
                else:
                    self._answerer.on_request(message, Address(str(name[0]), int(name[1])))

    def _refusals(self, sock: socket.socket) -> None:
        """The errors of the queue do not come with the datagram here: those to the target end what waits."""
        if not read_error_queue(sock):
            return
        for call in self._calls:
            if call.state in ("calling", "registering", "ending", "canceling"):
                ending = call.state == "ending"
                mine = call.stopped and not ending
                self._calls.finish(call, "canceled" if mine else unended(call, "refused"))
