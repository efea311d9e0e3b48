"""The load loop without native code: the twin of `_load.pyx`, which says why things are as they are.

It keeps the same rules and the same numbers at a tenth of the rate, and carries no media.
"""

from __future__ import annotations

import heapq
import itertools
import select
import socket
import time
from array import array
from dataclasses import dataclass

from callwright.net.address import numeric_host, sockaddr
from callwright.net.load_message import LoadMessage, address_uri, number, parse, tag_of
from callwright.net.loading import (
    BUCKETS,
    COUNTERS,
    HISTOGRAMS,
    OUTCOMES,
    CallNoted,
    LoopConfig,
    open_sockets,
)
from callwright.net.udp import read_error_queue
from callwright.sip.digest import Challenge, Credentials, answer_challenge
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.status import reason_phrase
from callwright.sip.transport import Address

_NOTABLE = 1024
_INDEX = {name: index for index, name in enumerate(COUNTERS)}
_LATEST = _INDEX["latest_us"]
_LETTERS = {"invite": b"i", "ack_failed": b"i", "cancel": b"i", "ack": b"a", "register": b"r"}


@dataclass(slots=True, eq=False)
class _Call:
    number: int
    started: float
    state: str = "calling"
    marked: float = 0.0
    cseq: int = 1
    repeats: int = 0
    account: int = 0
    due: float = 0.0
    """When its timer fires, 0 without."""
    hold: float = 0.0
    pdd: float = 0.0
    setup: float = 0.0
    code: int = 0
    heard: bool = False
    answered: bool = False
    tried: bool = False
    stopped: bool = False
    incoming: bool = False
    for_want_of_port: bool = False
    remote: bytes = b""
    local: bytes = b""
    call_id: bytes = b""
    target: bytes = b""
    routes: bytes = b""
    headers: bytes = b""
    invite_cseq: int = 1
    peer: Address | None = None
    challenge: bytes = b""
    proxy_challenge: bool = False
    key: tuple[bytes, bytes] = (b"", b"")


class LoadLoop:
    """See `callwright.net.loading.Loop`."""

    def __init__(self, config: LoopConfig) -> None:
        if config.media is not None:
            raise OSError("RTP of a load needs the native loop, which was not built on this machine")
        self._config = config
        self._sockets = open_sockets(config)
        self._random = int.from_bytes(config.seed[8:16], "little")
        self.rate = config.rate
        self.concurrent = config.concurrent
        self.paused = False
        self._registering = config.registering
        self._limit = config.calls
        self._stopping = 0
        self._stop_seconds = 8.0
        self._stop_deadline = 0.0
        self._slower = 0xFFFFFFFF
        self._calls: dict[int, _Call] = {}
        self._ended: dict[int, tuple[float, _Call]] = {}
        self._by_key: dict[tuple[bytes, bytes], _Call] = {}
        self._numbers = itertools.count(1)
        self._timers: list[tuple[float, int]] = []
        self._next_account = 0
        self._began = 0.0
        self._now = 0.0
        self._heard = 0.0
        self._next_start = 0.0
        self._clear()

    def _clear(self) -> None:
        self._count = array("Q", bytes(8 * len(COUNTERS)))
        self._codes: dict[int, int] = {}
        self._histograms = [array("Q", bytes(8 * BUCKETS)) for _ in HISTOGRAMS]
        self._noted: list[CallNoted] = []

    # -- what another thread asks

    @property
    def local(self) -> tuple[str, int]:
        host, port = self._sockets[0].getsockname()[:2]
        return host, port

    @property
    def registering(self) -> bool:
        return self._registering

    def begin(self, *, registering: bool, calls: int, rate: float) -> None:
        self._registering, self._limit, self.rate = registering, calls, rate
        self._stopping, self._stop_deadline, self._next_account = 0, 0.0, 0
        self._clear()

    def stop(self, how: int, seconds: float = 8.0) -> None:
        self._stop_seconds = seconds
        self._stopping = max(self._stopping, how)

    def counters(self) -> list[int]:
        return list(self._count)

    def take_latest(self) -> int:
        worst = self._count[_LATEST]
        self._count[_LATEST] = 0
        return worst

    def codes(self) -> dict[int, int]:
        return dict(self._codes)

    def histogram(self, which: int) -> bytes:
        return self._histograms[which].tobytes()

    def histograms(self) -> bytes:
        return b"".join(histogram.tobytes() for histogram in self._histograms)

    def note_slower_than(self, microseconds: int) -> None:
        self._slower = microseconds

    def note_worse_than(self, mos: float) -> None:
        return

    def notables(self, since: int) -> tuple[int, list[CallNoted]]:
        return len(self._noted), self._noted[max(since, len(self._noted) - _NOTABLE) :]

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    # -- the loop

    def run(self, seconds: float | None = None) -> bool:
        self._now = time.monotonic()
        if not self._began:
            self._began = self._heard = self._now
        self._next_start = self._now
        until = self._now + seconds if seconds is not None else float("inf")
        while True:
            self._now = time.monotonic()
            self._receive()
            self._run_timers()
            self._start_calls()
            self._add("turns")
            self._count[_INDEX["cpu_ns"]] = time.thread_time_ns()
            if self._finished():
                return True
            if self._now >= until:
                return False
            wait = min(0.01, max(0.0, (self._timers[0][0] if self._timers else self._now + 1) - self._now))
            if self.rate > 0 and not self.paused and not self._stopping and self._config.caller:
                wait = min(wait, max(0.0, self._next_start - self._now))
            select.select(self._sockets, [], [], wait)

    def _add(self, name: str, by: int = 1) -> None:
        self._count[_INDEX[name]] += by

    def _get(self, name: str) -> int:
        return self._count[_INDEX[name]]

    def _record(self, name: str, microseconds: float) -> None:
        value = max(0, int(microseconds))
        if value >= 256:
            shift = value.bit_length() - 8
            value = min(BUCKETS - 1, 128 * shift + (value >> shift))
        self._histograms[HISTOGRAMS.index(name)][value] += 1

    def _finished(self) -> bool:
        if self._stopping >= 3:
            self._abandon()
            return True
        if self._stopping == 2:
            if not self._stop_deadline:
                self._stop_deadline = self._now + self._stop_seconds
                self._stop_all()
            if self._now > self._stop_deadline:
                self._abandon()
                return True
        if self._get("active"):
            return False
        enough = bool(self._limit) and self._get("attempted") >= self._limit
        if self._config.answerer:
            return bool(self._stopping or enough) and self._now - self._heard > self._config.quiet
        return self._stopping > 0 or enough

    def _start_calls(self) -> None:
        if self.rate <= 0 or self.paused or self._stopping or not self._config.caller:
            self._next_start = self._now
            return
        interval = 1.0 / self.rate
        self._next_start = min(self._next_start, self._now + interval)
        for _ in range(256):
            if self._next_start > self._now or (self._limit and self._get("attempted") >= self._limit):
                return
            if self.concurrent and self._get("active") >= self.concurrent:
                self._add("withheld")
                self._next_start = self._now + interval
                return
            late = max(0, int((self._now - self._next_start) * 1e6))
            self._record("lateness", late)
            self._count[_LATEST] = max(self._count[_LATEST], late)
            if late > 20_000:
                self._add("late")
            self._start_call()
            self._next_start += interval

    def _uniform(self, most: int) -> int:
        self._random = (self._random * 6364136223846793005 + 1442695040888963407) & (2**64 - 1)
        return (self._random >> 33) % most

    def _new_call(self) -> _Call:
        call = _Call(next(self._numbers) & 0xFFFFFFFF, self._now, marked=self._now)
        self._calls[call.number] = call
        self._add("attempted")
        self._add("active")
        self._count[_INDEX["peak"]] = max(self._get("peak"), self._get("active"))
        return call

    def _start_call(self) -> None:
        call = self._new_call()
        config = self._config
        if config.accounts:
            if config.random_account:
                call.account = self._uniform(len(config.accounts))
            else:
                call.account = self._next_account
                self._next_account = (self._next_account + 1) % len(config.accounts)
        else:
            call.account = self._get("attempted") - 1
        call.hold = config.hold + config.hold_spread * self._uniform(1001) / 1000
        call.state = "registering" if self._registering else "calling"
        self._request("register" if self._registering else "invite", call, call.cseq)
        self._timer(call, config.t1)

    # -- timers

    def _timer(self, call: _Call, seconds: float) -> None:
        call.due = self._now + seconds
        heapq.heappush(self._timers, (call.due, call.number))

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self._now:
            due, name = heapq.heappop(self._timers)
            call = self._calls.get(name)
            if call is not None and call.due == due:
                call.due = 0.0
                self._fire(call)
        while self._ended:
            name, (since, call) = next(iter(self._ended.items()))
            if self._now - since < self._config.linger:
                break
            del self._ended[name]
            self._by_key.pop(call.key, None)

    def _too_long(self, call: _Call, cap: float | None) -> bool:
        waited = self._now - call.marked
        timeout = 64 * self._config.t1
        if waited + 0.001 >= timeout:
            return True
        call.repeats += 1
        after = self._config.t1 * 2 ** min(call.repeats, 16)
        self._timer(call, min(after if cap is None else min(after, cap), timeout - waited))
        self._add("resent")
        return False

    def _fire(self, call: _Call) -> None:
        t2 = self._config.t2
        canceled = "canceled" if call.stopped else "timeout"
        match call.state:
            case "calling":
                if self._too_long(call, None):
                    self._finish(call, canceled)
                else:
                    self._request("invite", call, call.cseq)
            case "registering":
                if self._too_long(call, t2):
                    self._finish(call, canceled)
                else:
                    self._request("register", call, call.cseq)
            case "proceeding":
                self._cancel(call)
            case "talking" | "confirmed":
                self._bye(call)
            case "ending":
                if self._too_long(call, t2):
                    self._finish(call, _unended(call, "bye_timeout"))
                else:
                    self._send_bye(call)
            case "canceling":
                if self._too_long(call, t2):
                    mine = call.stopped or self._config.cancel_after
                    self._finish(call, "canceled" if mine else "no_answer")
                else:
                    self._request("cancel", call, call.cseq)
            case "completed":
                self._forget(call)
            case "ringing":
                self._answer_now(call)
            case "answered":
                if self._too_long(call, t2):
                    self._bye(call)
                else:
                    self._response(call, 200, "ok")
            case "rejected":
                if self._too_long(call, t2):
                    self._finish(call, "canceled" if call.code == 487 else "no_ack")
                else:
                    self._response(call, call.code, "empty")

    # -- the end of a call

    def _finish(self, call: _Call, outcome: str, *, keep: bool = False) -> None:
        self._add(outcome)
        if outcome == "status":
            self._codes[call.code] = self._codes.get(call.code, 0) + 1
        pdd, setup = int(call.pdd * 1e6), int(call.setup * 1e6)
        if OUTCOMES.index(outcome) > 1 or setup > self._slower:
            at, index = self._now - self._began, OUTCOMES.index(outcome)
            noted = CallNoted(at, call.number, call.account, index, call.code, pdd, setup, -1)
            self._noted.append(noted)
        self._add("active", -1)
        if not keep:
            self._forget(call)

    def _forget(self, call: _Call) -> None:
        call.state, call.due = "free", 0.0
        self._calls.pop(call.number, None)
        self._ended[call.number] = (self._now, call)

    def _stop_all(self) -> None:
        for call in list(self._calls.values()):
            if call.state in ("talking", "confirmed"):
                call.stopped = True
                self._bye(call)
            elif call.state == "proceeding":
                call.stopped = True
                self._cancel(call)
            elif call.state in ("calling", "registering"):
                call.stopped = True
            elif call.state == "ringing":
                call.stopped = True
                self._refuse(call, 487)

    def _abandon(self) -> None:
        for call in list(self._calls.values()):
            if call.state == "completed":
                continue
            self._add("abandoned")
            if call.state in ("ending", "talking", "confirmed"):
                self._finish(call, _unended(call, "bye_timeout"))
            elif call.state in ("answered", "rejected"):
                self._finish(call, "no_ack")
            else:
                self._finish(call, "canceled")

    # -- sending

    def _fill(self, name: str, call: _Call | None, cseq: int, to: bytes, line: bytes = b"") -> bytes:
        config, parts = self._config, []
        letter = _LETTERS.get(name, b"b")
        for kind, value in config.messages[name]:
            if isinstance(value, int):
                row = config.accounts[call.account] if call and config.accounts else ()
                parts.append(row[value] if value < len(row) else b"")
            elif kind == "literal":
                parts.append(value)
            elif call is None:
                raise ValueError(f"{name} belongs to no call")
            elif kind == "id":
                parts.append(self._id(call))
            elif kind == "branch":
                parts.append(b"%b-%b%02x" % (self._id(call), letter, cseq & 0xFF))
            elif kind == "cseq":
                parts.append(b"%d" % cseq)
            elif kind == "to":
                parts.append(to)
            elif kind == "number":
                parts.append(b"%d" % call.account)
            elif kind == "authorization":
                parts.append(line)
            elif kind == "port":
                parts.append(b"9")
            elif kind == "ssrc":
                parts.append(b"0")
            else:
                parts.append(getattr(call, kind))
        return b"".join(parts)

    def _id(self, call: _Call) -> bytes:
        return b"%08x-%08x" % (call.number, 1)

    def _request(self, name: str, call: _Call, cseq: int) -> None:
        line = b""
        if call.tried and name in ("invite", "register"):
            plain = self._fill(name, call, cseq, b"")
            method, uri, _ = plain.split(b" ", 2)
            line = self._credentials(call, method.decode(), uri.decode("utf-8", "surrogateescape"))
        self._send(self._fill(name, call, cseq, call.remote, line), call.peer)

    def _credentials(self, call: _Call, method: str, uri: str) -> bytes:
        config = self._config
        row = config.accounts[call.account]
        try:
            challenge = Challenge.parse(call.challenge.decode("utf-8", "surrogateescape"))
            if challenge is None:
                return b""
            user = row[config.user_column].decode()
            secret = row[config.password_column].decode() if config.password_column >= 0 else ""
            cnonce = f"{config.salt:08x}{call.number:08x}"
            who = Credentials(user, secret)
            text = answer_challenge(challenge, who, method=method, uri=uri, cnonce=cnonce)
        except (SipSyntaxError, ValueError):
            return b""
        name = b"Proxy-Authorization" if call.proxy_challenge else b"Authorization"
        return name + b": " + text.encode("utf-8", "surrogateescape") + b"\r\n"

    def _send(self, data: bytes, to: Address | None) -> None:
        remote = to or self._config.remote
        assert remote is not None
        sock = self._sockets[0]
        connected = len(self._sockets) > 1
        if connected and to is not None:
            sock, connected = self._sockets[1], False
        for _ in range(3):
            try:
                if connected:
                    sock.send(data)
                else:
                    sock.sendto(data, sockaddr(remote))
                break
            except ConnectionRefusedError:
                continue  # of an earlier datagram: this one is tried again
            except OSError:
                self._add("send_errors")
                break
        self._add("sent")

    def _bye(self, call: _Call) -> None:
        call.state, call.repeats, call.marked = "ending", 0, self._now
        self._send_bye(call)
        self._timer(call, self._config.t1)

    def _send_bye(self, call: _Call) -> None:
        if call.incoming:
            self._request("hangup", call, 1)
        else:
            self._request("bye", call, call.cseq + 1)

    def _cancel(self, call: _Call) -> None:
        call.state, call.repeats, call.marked = "canceling", 0, self._now
        self._request("cancel", call, call.cseq)
        self._timer(call, self._config.t1)

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
                self._heard = self._now
                self._add("received")
                message = parse(data)
                if message is None:
                    self._add("malformed", int(len(data) > 4))
                elif message.status:
                    self._on_response(message)
                else:
                    self._on_request(message, Address(str(name[0]), int(name[1])))

    def _refusals(self, sock: socket.socket) -> None:
        """The errors of the queue do not come with the datagram here: those to the target end what waits."""
        if not read_error_queue(sock):
            return
        for call in list(self._calls.values()):
            if call.state in ("calling", "registering", "ending", "canceling"):
                ending = call.state == "ending"
                mine = call.stopped and not ending
                self._finish(call, "canceled" if mine else _unended(call, "refused"))

    def _named(self, text: bytes) -> _Call | bool | None:
        """The call of `ssssssss-nnnnnnnn-gggggggg`; True when it was ours and is forgotten, None when not."""
        try:
            salt, slot, generation = (int(word, 16) for word in text[:26].split(b"-"))
        except ValueError:
            return None
        if salt != self._config.salt or generation != 1:
            return None
        call = self._calls.get(slot)
        if call is None and slot in self._ended:
            call = self._ended[slot][1]
        return call if call is not None else True

    def _on_response(self, m: LoadMessage) -> None:
        branch = m.branch
        call = self._named(branch[7:]) if len(branch) == 37 and branch.startswith(b"z9hG4bK") else None
        if call is None or isinstance(call, bool):
            self._add("stray")
        elif m.method == 1:
            self._on_invite_response(call, m)
        elif m.method == 3:
            self._on_bye_response(call, m)
        elif m.method == 6:
            self._on_register_response(call, m)
        elif m.method != 4:
            self._add("stray")

    def _ack_failed(self, call: _Call, m: LoadMessage) -> None:
        self._send(self._fill("ack_failed", call, m.cseq, m.to_value), None)

    def _note_retry_after(self, m: LoadMessage) -> None:
        if m.retry_after >= 0:
            self._add("retry_after")
            most = max(self._get("retry_after_max"), m.retry_after)
            self._count[_INDEX["retry_after_max"]] = most

    def _challenged(self, call: _Call, m: LoadMessage) -> bool:
        if m.status not in (401, 407) or self._config.user_column < 0 or call.tried or not m.challenge:
            return False
        call.tried, call.challenge, call.proxy_challenge = True, m.challenge, m.proxy_challenge
        call.cseq += 1
        call.repeats, call.marked = 0, self._now
        self._add("challenged")
        return True

    def _on_invite_response(self, call: _Call, m: LoadMessage) -> None:
        state = call.state
        waiting = state in ("calling", "proceeding", "canceling")
        if m.cseq != call.cseq:
            if m.status >= 300 and m.cseq < call.cseq:
                self._add("repeated")
                self._ack_failed(call, m)
            else:
                self._add("stray")
        elif m.status < 200:
            if not waiting:
                self._add("stray")
                return
            if state == "calling":
                call.state = "proceeding"
                if call.stopped:
                    self._cancel(call)
                else:
                    self._timer(call, self._config.cancel_after or self._config.ring_for)
            if m.status > 100 and not call.heard:
                call.heard, call.pdd = True, self._now - call.started
                self._record("pdd", call.pdd * 1e6)
        elif m.status < 300:
            if waiting:
                self._answered_by_peer(call, m)
            elif call.answered and call.target:
                self._add("repeated")
                self._request("ack", call, call.cseq)
            else:
                self._add("stray")
        elif state == "completed":
            self._add("repeated")
            self._ack_failed(call, m)
        elif not waiting:
            self._add("stray")
        else:
            self._ack_failed(call, m)
            self._note_retry_after(m)
            if state != "canceling" and not call.stopped and self._challenged(call, m):
                call.state = "calling"
                self._request("invite", call, call.cseq)
                self._timer(call, self._config.t1)
                return
            call.code, call.state = m.status, "completed"
            self._timer(call, 64 * self._config.t1)
            if state == "canceling" and m.status == 487:
                mine = call.stopped or self._config.cancel_after
                self._finish(call, "canceled" if mine else "no_answer", keep=True)
            else:
                self._finish(call, "status", keep=True)

    def _answered_by_peer(self, call: _Call, m: LoadMessage) -> None:
        call.answered, call.code = True, m.status
        call.setup = self._now - call.started
        if not call.heard:
            call.heard, call.pdd = True, call.setup
            self._record("pdd", call.pdd * 1e6)
        self._record("setup", call.setup * 1e6)
        self._add("established")
        target = address_uri(m.contact_value)
        if not tag_of(m.to_value) or not target:
            self._finish(call, "unexpected")
            return
        routes = m.routes
        call.remote, call.target = m.to_value, target
        call.routes = b"".join(b"Route: %b\r\n" % value for value in reversed(routes))
        call.peer = self._next_hop(address_uri(routes[-1]) if routes else target)
        self._request("ack", call, call.cseq)
        if call.state == "canceling" or call.stopped or not call.hold:
            self._bye(call)
        else:
            call.state = "talking"
            self._timer(call, call.hold)

    def _next_hop(self, uri: bytes) -> Address | None:
        """An address other than the target's, where the host is numeric and permitted."""
        text = uri.partition(b":")[2].split(b";")[0].split(b"?")[0].rpartition(b"@")[2].decode("latin-1")
        host, colon, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
        if not colon:
            host, port = text, "5060"
        numeric = numeric_host(host)
        if numeric is None or not port.isdigit() or int(port) > 65535:
            return None
        address = Address(numeric, int(port) or 5060)
        if address == self._config.remote or not self._permitted(numeric):
            return None
        return address

    def _permitted(self, host: str) -> bool:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        packed = socket.inet_pton(family, host.split("%")[0])
        six = packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed
        wanted = int.from_bytes(six, "big")
        for network, bits in self._config.networks:
            if (wanted ^ int.from_bytes(network, "big")) >> (128 - bits) == 0:
                return True
        return False

    def _on_bye_response(self, call: _Call, m: LoadMessage) -> None:
        if call.state != "ending":
            self._add("repeated" if call.state == "free" else "stray")
        elif m.status >= 200:
            self._record("bye", (self._now - call.marked) * 1e6)
            call.code = m.status
            if m.status >= 300 and m.status not in (408, 481):
                self._finish(call, "status")
            else:
                self._finish(call, "no_ack" if call.incoming and not call.answered else "answered")

    def _on_register_response(self, call: _Call, m: LoadMessage) -> None:
        if call.state != "registering" or m.cseq != call.cseq:
            self._add("repeated")
        elif m.status >= 200:
            if self._challenged(call, m):
                self._request("register", call, call.cseq)
                self._timer(call, self._config.t1)
                return
            self._note_retry_after(m)
            call.code = m.status
            if m.status >= 300:
                self._finish(call, "status")
                return
            call.setup = self._now - call.started
            self._record("register", call.setup * 1e6)
            self._add("registered")
            self._finish(call, "answered")

    # -- the answering side

    def _via_lines(self, m: LoadMessage, source: Address) -> bytes:
        vias = list(m.vias)
        if m.has_rport:
            lowered = vias[0].lower()
            at = next(
                i
                for i in range(len(lowered))
                if lowered.startswith(b";rport", i)
                and lowered[i + 6 : i + 7] in (b"", b";", b",", b" ", b"\t")
            )
            filled = b"=%d;received=%b" % (source.port, source.host.encode())
            vias[0] = vias[0][: at + 6] + filled + vias[0][at + 6 :]
        return b"".join(b"Via: %b\r\n" % via for via in vias)

    def _reply_address(self, m: LoadMessage, source: Address) -> Address:
        if m.has_rport:
            return source
        _, colon, port = m.sent_by.rpartition(b":")
        found = number(port) if colon and port.isdigit() else None
        return Address(source.host, found if found and found < 65536 else 5060)

    def _reply(
        self,
        m: LoadMessage,
        source: Address,
        status: int,
        tail: str = "empty",
        tag: bytes = b"",
        call: _Call | None = None,
    ) -> None:
        to = m.to_value + (b";tag=" + tag if tag and not tag_of(m.to_value) else b"")
        data = b"%b%bFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %b\r\n" % (
            _status_line(status),
            self._via_lines(m, source),
            m.from_value,
            to,
            m.call_id,
            m.cseq_value,
        )
        self._send(data + self._fill(tail, call, m.cseq, b""), self._reply_address(m, source))

    def _response(self, call: _Call, status: int, tail: str) -> None:
        data = b"%b%bFrom: %b\r\nTo: %b\r\nCall-ID: %b\r\nCSeq: %d INVITE\r\n" % (
            _status_line(status),
            call.headers,
            call.remote,
            call.local,
            call.call_id,
            call.invite_cseq,
        )
        self._send(data + self._fill(tail, call, 0, b""), call.peer)

    def _on_request(self, m: LoadMessage, source: Address) -> None:
        if m.method == 1:
            self._on_invite(m, source)
            return
        if m.method == 6:
            self._on_register(m, source)
            return
        if m.method == 4:
            call = self._by_key.get((m.call_id, tag_of(m.from_value)))
            self._reply(m, source, 481 if call is None else 200, tag=b"cw0")
            if call is not None and call.state == "ringing":
                self._refuse(call, 487)
            return
        found = self._named(tag_of(m.to_value))
        if found is None and m.call_id.startswith(b"cw"):
            found = self._named(m.call_id[2:])
        if found is None or isinstance(found, bool):
            if m.method == 2:
                self._add("stray")
            elif m.method == 3 and found:
                self._add("repeated")
                self._reply(m, source, 200)
            else:
                self._reply(m, source, 200 if m.method == 5 else 481, tag=b"cw0")
            return
        if m.method == 2:
            self._on_ack(found)
        elif m.method == 3:
            self._on_bye(found, m, source)
        else:
            self._reply(m, source, 481 if found.state == "free" else 200)

    def _on_register(self, m: LoadMessage, source: Address) -> None:
        if not self._config.answerer:
            self._reply(m, source, 501, tag=b"cw0")
            return
        self._add("registrations")
        if "challenge" in self._config.messages and not m.authorization:
            self._reply(m, source, 401, "challenge", tag=b"cw0")
        else:
            self._reply(m, source, 200, "registered", tag=b"cw0")

    def _on_invite(self, m: LoadMessage, source: Address) -> None:
        if not self._config.answerer:
            self._reply(m, source, 486, tag=b"cw0")
            return
        key, inside = (m.call_id, tag_of(m.from_value)), bool(tag_of(m.to_value))
        call = self._by_key.get(key)
        if call is not None:
            self._on_known_invite(call, m, source, inside)
            return
        if inside:
            self._reply(m, source, 481)
            return
        if self._stopping or (self._limit and self._get("attempted") >= self._limit):
            self._reply(m, source, 503, tag=b"cw0")
            return
        config = self._config
        call = self._new_call()
        call.account = self._get("attempted") - 1
        call.incoming, call.key, call.peer = True, key, self._reply_address(m, source)
        call.headers = self._via_lines(m, source) + b"".join(
            b"Record-Route: %b\r\n" % route for route in m.record_routes
        )
        call.remote, call.call_id, call.invite_cseq = m.from_value, m.call_id, m.cseq
        call.local = m.to_value + b";tag=%08x-%b" % (config.salt, self._id(call))
        call.target = address_uri(m.contact_value or m.from_value)
        call.routes = b"".join(b"Route: %b\r\n" % value for value in m.routes)
        self._by_key[key] = call
        if config.reject:
            self._refuse(call, config.reject)
            return
        if config.trying:
            self._response(call, 100, "empty")
        if config.ringing:
            self._response(call, 180, "ringing")
        if config.ring_time:
            call.state = "ringing"
            self._timer(call, config.ring_time)
        else:
            self._answer_now(call)

    def _on_known_invite(self, call: _Call, m: LoadMessage, source: Address, inside: bool) -> None:
        if inside:
            if call.state in ("confirmed", "answered"):
                call.invite_cseq = m.cseq
                self._reply(m, source, 200, "ok", call=call)
            else:
                self._add("repeated")
                self._reply(m, source, 481)
            return
        self._add("repeated")
        if call.state == "ringing":
            ringing = self._config.ringing
            self._response(call, 180 if ringing else 100, "ringing" if ringing else "empty")
        elif call.state == "answered":
            self._response(call, 200, "ok")
        elif call.state == "rejected":
            self._response(call, call.code, "empty")

    def _answer_now(self, call: _Call) -> None:
        call.state, call.marked, call.repeats = "answered", self._now, 0
        self._add("established")
        call.setup = self._now - call.started
        self._record("setup", call.setup * 1e6)
        self._response(call, 200, "ok")
        self._timer(call, self._config.t1)

    def _refuse(self, call: _Call, status: int) -> None:
        call.state, call.marked, call.repeats, call.code = "rejected", self._now, 0, status
        self._response(call, status, "empty")
        self._timer(call, self._config.t1)

    def _on_ack(self, call: _Call) -> None:
        if call.state == "answered":
            call.state, call.answered, call.due = "confirmed", True, 0.0
            call.pdd = self._now - call.marked
            self._add("confirmed")
            if self._stopping == 2:
                self._bye(call)
            elif self._config.hold:
                self._timer(call, self._config.hold)
        elif call.state == "rejected":
            self._finish(call, "canceled" if call.code == 487 else "status")
        else:
            self._add("repeated")

    def _on_bye(self, call: _Call, m: LoadMessage, source: Address) -> None:
        self._reply(m, source, 200)
        if call.state in ("free", "completed"):
            self._add("repeated")
            return
        if call.state == "answered":
            call.answered = True
            self._add("confirmed")
        if call.state in ("answered", "confirmed", "talking", "ending"):
            if not call.incoming and call.state != "ending":
                self._add("hung_up")
            call.code = 200
            self._finish(call, "answered")
        elif call.state == "ringing":
            self._refuse(call, 487)


def _unended(call: _Call, outcome: str) -> str:
    """Why a call has failed whose BYE went unanswered: where we answered and never saw the ACK, for that."""
    return "no_ack" if call.incoming and not call.answered else outcome


def _status_line(status: int) -> bytes:
    return b"SIP/2.0 %d %b\r\n" % (status, reason_phrase(status).encode())
