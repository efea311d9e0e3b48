# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, infer_types=False
"""The load loop in native code: one thread that places and answers calls without holding the GIL.

One loop owns its sockets, timers, calls and numbers. Another thread sets the rate, pauses, stops, and reads the
numbers while it runs. What it is told and what it tells is in `callwright.generator.loop`. It has no twin in
Python: where it cannot run there are no loads.

What comes from the wire is read only through the spans of `_wire.pxi`, each read against its end.
"""

from libc.errno cimport (
    EAGAIN,
    ECONNREFUSED,
    EHOSTUNREACH,
    EINTR,
    EINVAL,
    EIO,
    EMSGSIZE,
    ENETUNREACH,
    ENOBUFS,
    EOPNOTSUPP,
    errno,
)
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memchr, memcmp, memcpy, memset, strlen

import hashlib
import os
import socket as _socket

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for no native code")

from callwright.generator.names import COUNTERS, MESSAGES, SLOTS
from callwright.generator.loop import CallNoted, FailedLadder, MessageNoted

from callwright.net.bulk import bind_one_of, open_sockets


include "_kernel.pxi"
include "_names.pxi"
include "_state.pxi"
include "_outbox.pxi"
include "_wire.pxi"
include "_sdp.pxi"
include "_digest.pxi"
include "_ladder.pxi"
include "_wills.pxi"
include "_calls.pxi"
include "_inside.pxi"
include "_caller.pxi"
include "_answerer.pxi"
include "_reliable.pxi"
include "_session.pxi"
include "_timers.pxi"
include "_streams.pxi"
include "_reception.pxi"
include "_sources.pxi"
include "_media.pxi"
include "_turn.pxi"


cdef object _address(str host, int port, Address *a):
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    cdef bytes text = host.encode()
    memset(a, 0, sizeof(Address))
    memset(&four, 0, sizeof(four))
    memset(&six, 0, sizeof(six))
    if inet_pton(AF_INET, text, &four.sin_addr) == 1:
        four.sin_family = <uint16_t>AF_INET
        four.sin_port = htons(<uint16_t>port)
        memcpy(a.raw, &four, sizeof(four))
        a.size = sizeof(four)
    elif inet_pton(AF_INET6, text, &six.sin6_addr) == 1:
        six.sin6_family = <uint16_t>AF_INET6
        six.sin6_port = htons(<uint16_t>port)
        memcpy(a.raw, &six, sizeof(six))
        a.size = sizeof(six)
    else:
        raise ValueError(f"{host!r} is no numeric address")


cdef int _milliseconds(double seconds) except -1:
    if not 0 <= seconds <= 1e6:
        raise ValueError(f"{seconds} s is out of range")
    return <int>(seconds * 1000 + 0.5)


cdef class LoadLoop:
    """See `callwright.generator.loop.Loop`, which says what every verb does."""

    cdef Loop *L
    cdef object sockets
    cdef object shared
    cdef object config
    cdef bint running

    def __cinit__(self, config):
        cdef Loop *L
        cdef int i, j
        cdef uint8_t *network
        self.config = config
        L = self.L = <Loop *>calloc(1, sizeof(Loop))
        if L == NULL:
            raise MemoryError
        L.fd = L.wild = L.wills_fd = -1
        L.free_head = L.free_tail = NONE
        L.chunk = <Call **>calloc(CHUNKS, sizeof(Call *))
        L.wheel = <uint32_t *>malloc(WHEEL * sizeof(uint32_t))
        L.table_mask = 65535
        L.table = <uint32_t *>malloc((L.table_mask + 1) * sizeof(uint32_t))
        L.histogram = <uint64_t *>calloc(HISTOGRAMS_N * BUCKETS, sizeof(uint64_t))
        L.notable = <Notable *>calloc(NOTABLE, sizeof(Notable))
        L.out_header = <mmsghdr *>calloc(OUT, sizeof(mmsghdr))
        L.out_iov = <iovec *>calloc(2 * OUT, sizeof(iovec))
        L.out_tag = <Tag *>calloc(OUT, sizeof(Tag))
        L.out_to = <Address *>calloc(OUT, sizeof(Address))
        L.out_data = <uint8_t *>malloc(OUT * OUT_SIZE)
        L.in_header = <mmsghdr *>calloc(IN, sizeof(mmsghdr))
        L.in_iov = <iovec *>calloc(IN, sizeof(iovec))
        L.in_from = <Address *>calloc(IN, sizeof(Address))
        L.in_data = <uint8_t *>malloc(IN * IN_SIZE)
        L.in_control = <uint8_t *>malloc(IN * CONTROL_SIZE)
        L.scratch = <uint8_t *>malloc(OUT_SIZE)
        if (
            L.chunk == NULL or L.wheel == NULL or L.table == NULL or L.histogram == NULL or L.notable == NULL
            or L.out_header == NULL or L.out_iov == NULL or L.out_to == NULL or L.out_data == NULL
            or L.out_tag == NULL or L.in_header == NULL or L.in_iov == NULL or L.in_from == NULL or L.in_data == NULL
            or L.in_control == NULL or L.scratch == NULL
        ):
            raise MemoryError
        memset(L.wheel, 0xFF, WHEEL * sizeof(uint32_t))
        memset(L.table, 0xFF, (L.table_mask + 1) * sizeof(uint32_t))
        L.streams = config.channel >= 0
        L.per_call = L.streams and config.connections == "per-call" and config.caller
        for i in range(OUT):
            L.out_iov[2 * i].iov_base = &L.out_tag[i]
            L.out_iov[2 * i].iov_len = sizeof(Tag)
            L.out_iov[2 * i + 1].iov_base = L.out_data + i * OUT_SIZE
            L.out_header[i].msg_hdr.msg_iov = &L.out_iov[2 * i if L.streams else 2 * i + 1]
            L.out_header[i].msg_hdr.msg_iovlen = 2 if L.streams else 1
        for i in range(IN):
            L.in_iov[i].iov_base = L.in_data + i * IN_SIZE
            L.in_iov[i].iov_len = IN_SIZE
            L.in_header[i].msg_hdr.msg_iov = &L.in_iov[i]
            L.in_header[i].msg_hdr.msg_iovlen = 1
            L.in_header[i].msg_hdr.msg_name = &L.in_from[i].raw[0]
            L.in_header[i].msg_hdr.msg_control = L.in_control + i * CONTROL_SIZE
        L.salt = config.salt & 0xFFFFFFFF
        L.random_seed = int.from_bytes(config.seed[:8], "little") | 1
        L.random = int.from_bytes(config.seed[8:16], "little")
        L.caller = config.caller
        L.answerer = config.answerer
        L.registering = config.registering
        L.t1 = _milliseconds(config.t1)
        L.t2 = _milliseconds(config.t2)
        L.timeout = 64 * L.t1
        L.wait = L.timeout if L.streams else L.t1  # RFC 3261 section 17.1.1.2
        L.hold = _milliseconds(config.hold)
        L.hold_spread = _milliseconds(config.hold_spread)
        L.ring_for = _milliseconds(config.ring_for)
        L.ring_time = _milliseconds(config.ring_time)
        L.cancel_after = _milliseconds(config.cancel_after)
        L.linger = _milliseconds(config.linger)
        L.quiet = _milliseconds(config.quiet)
        L.trying = config.trying
        L.ringing = config.ringing
        L.reject = config.reject
        L.prack = ("no", "offered", "required").index(config.prack)
        L.session = config.session_expires
        L.min_se = config.min_se
        L.expires = config.expires
        L.refresher = (None, "local", "remote").index(config.refresher)
        L.refresh_by = {None: 0, "UPDATE": M_UPDATE, "INVITE": M_INVITE}[config.refresh_by]
        L.concurrent = config.concurrent
        L.limit = config.calls
        L.random_account = config.random_account
        L.rate = config.rate
        L.notable_pdd = 0xFFFFFFFF
        L.ladders = config.ladders
        if L.ladders > 0:
            L.ring = open_ring()
            L.kept = <Kept *>calloc(LADDERS + 1, sizeof(Kept))
            if L.ring == NULL or L.kept == NULL:
                raise MemoryError
        self._templates()
        self._accounts()
        L.network_count = len(config.networks)
        L.networks = <uint8_t *>malloc(17 * L.network_count + 1)
        if L.networks == NULL:
            raise MemoryError
        for i in range(L.network_count):
            packed, length = config.networks[i]
            network = L.networks + 17 * i
            network[0] = length
            for j in range(16):
                network[1 + j] = packed[j]
        L.near = config.near
        L.own_count = len(config.own)
        L.own = <Address *>calloc(L.own_count + 1, sizeof(Address))
        if L.own == NULL:
            raise MemoryError
        for i in range(L.own_count):
            _address(config.own[i][0], config.own[i][1], &L.own[i])
        self._open()
        if config.keep_wills:
            L.wills = <uint8_t **>calloc(CHUNKS, sizeof(uint8_t *))
            if L.wills == NULL:
                raise MemoryError
            L.wills_fd = os.memfd_create("callwright-load", os.MFD_CLOEXEC)
        media_prepare(L, config)
        if L.has_media and L.m.shared:
            self.shared = bind_one_of(config.media.host, config.media.low, config.media.high)
            L.m.fd = self.shared.fileno()
            L.m.shared_port = self.shared.getsockname()[1]

    cdef _templates(self):
        cdef Loop *L = self.L
        cdef Template *t
        cdef Py_ssize_t i, at
        cdef bytes text
        for name, segments in self.config.messages.items():
            t = &L.template[MESSAGES.index(name)]
            if len(segments) > SEGMENTS:
                raise ValueError(f"the message {name} has more than {SEGMENTS} parts")
            text = b"".join(part for kind, part in segments if kind == "literal")
            if len(text) > OUT_SIZE - 1024:
                raise ValueError(f"the message {name} is too long: {len(text)} octets")
            t.text = <uint8_t *>malloc(len(text) + 1)
            if t.text == NULL:
                raise MemoryError
            memcpy(t.text, <const char *>text, len(text))
            at = 0
            for i, (kind, part) in enumerate(segments):
                t.segment[i].kind = SLOTS.index(kind)
                if kind == "literal":
                    t.segment[i].at = at
                    t.segment[i].n = len(part)
                    at += len(part)
                elif kind == "field":
                    t.segment[i].at = part
            t.segments = len(segments)
            t.opening = next(
                (n + 1 for n, (kind, part) in enumerate(segments) if kind == "literal" and b"\r\n" in part),
                len(segments),
            )

    cdef _accounts(self):
        cdef Loop *L = self.L
        cdef bytes text
        cdef Py_ssize_t i, at = 0
        accounts = self.config.accounts
        L.user_column, L.password_column = self.config.user_column, self.config.password_column
        fields = [column for row in accounts for column in row]
        text = b"".join(fields)
        L.field_text = <uint8_t *>malloc(len(text) + 1)
        L.field_part = <Part *>malloc((len(fields) + 1) * sizeof(Part))
        if L.field_text == NULL or L.field_part == NULL:
            raise MemoryError
        memcpy(L.field_text, <const char *>text, len(text))
        for i, column in enumerate(fields):
            L.field_part[i].at = at
            L.field_part[i].n = len(column)
            at += len(column)
        L.accounts = len(accounts)
        L.columns = len(accounts[0]) if accounts else 0

    cdef _open(self):
        cdef Loop *L = self.L
        self.shared = None
        if L.streams:
            self.sockets = (_socket.socket(fileno=os.dup(self.config.channel)),)
        else:
            self.sockets = open_sockets(self.config.local, self.config.remote, share_port=self.config.share_port)
        L.fd = self.sockets[0].fileno()
        if self.config.remote is not None:
            _address(self.config.remote[0], self.config.remote[1], &L.remote)
        if len(self.sockets) > 1:
            L.wild = self.sockets[1].fileno()
            L.connected = True

    def __dealloc__(self):
        cdef Loop *L = self.L
        cdef uint32_t i
        if L == NULL:
            return
        media_free(L)
        wills_close(L)
        free(L.wills)
        if L.chunk != NULL:
            for i in range(L.calls):
                free(call_at(L, i).dialog)
                free(call_at(L, i).second)
            for i in range(L.calls >> 12):
                free(L.chunk[i])
        for i in range(MESSAGES_N):
            free(L.template[i].text)
        free(L.chunk)
        free(L.wheel)
        free(L.table)
        free(L.histogram)
        free(L.notable)
        forget_kept(L)
        free(L.kept)
        free(L.ring)
        free(L.out_header)
        free(L.out_iov)
        free(L.out_tag)
        free(L.out_to)
        free(L.out_data)
        free(L.in_header)
        free(L.in_iov)
        free(L.in_from)
        free(L.in_data)
        free(L.in_control)
        free(L.scratch)
        free(L.networks)
        free(L.own)
        free(L.field_text)
        free(L.field_part)
        free(L)

    @property
    def local(self):
        if self.L.streams:
            return tuple(self.config.local)
        return self.sockets[0].getsockname()[:2]

    @property
    def descriptors(self):
        if self.L.wills_fd < 0:
            return ()
        if self.L.streams:
            return (self.L.wills_fd,)  # who ends the calls opens a connection of its own
        return (self.L.wills_fd, *(sock.fileno() for sock in self.sockets))

    @property
    def rate(self):
        return self.L.rate

    @rate.setter
    def rate(self, double value):
        self.L.rate = value if value > 0 else 0.0

    @property
    def concurrent(self):
        return self.L.concurrent

    @concurrent.setter
    def concurrent(self, uint32_t value):
        self.L.concurrent = value

    @property
    def paused(self):
        return bool(self.L.paused)

    @paused.setter
    def paused(self, value):
        self.L.paused = bool(value)

    @property
    def registering(self):
        return bool(self.L.registering)

    def begin(self, *, bint registering, uint64_t calls, double rate):
        """Between two runs: what the next one places, and how many; 0 is without limit."""
        cdef Loop *L = self.L
        if self.running:
            raise RuntimeError("the loop is running")
        L.registering = registering
        L.limit = calls
        L.rate = rate
        L.next_account = 0
        L.stopping = 0
        L.stop_deadline = 0
        L.sweep = 0
        memset(&L.count[0], 0, sizeof(L.count))
        memset(&L.codes[0], 0, sizeof(L.codes))
        memset(L.histogram, 0, HISTOGRAMS_N * BUCKETS * sizeof(uint64_t))
        L.notables = 0
        forget_kept(L)

    def stop(self, int how, double seconds=8.0):
        self.L.stop_seconds = seconds
        if how > self.L.stopping:
            self.L.stopping = how

    def run(self, seconds=None):
        cdef Loop *L = self.L
        cdef bint done
        if self.running:
            raise RuntimeError("the loop is running already")
        if not self.sockets:
            raise RuntimeError("the loop is closed")
        self.running = True
        try:
            L.now = clock_ns()
            if L.began == 0:
                L.began = L.window_began = L.last_heard = L.now
                media_begin(L)
            L.next_start = <double>(L.now - L.began)
            L.run_until = L.now + <uint64_t>(seconds * 1e9) if seconds is not None else 0
            with nogil:
                done = turn_until_done(L)
        finally:
            self.running = False
        return bool(done)

    def counters(self):
        cdef int i
        return [self.L.count[i] for i in range(COUNTERS_N)]

    def take_latest(self):
        cdef uint64_t worst = self.L.count[C_LATEST_US]
        self.L.count[C_LATEST_US] = 0
        return worst

    def codes(self):
        cdef int i
        return {i: self.L.codes[i] for i in range(CODES) if self.L.codes[i]}

    def histogram(self, int which):
        if not 0 <= which < HISTOGRAMS_N:
            raise IndexError(which)
        return (<const char *>(self.L.histogram + which * BUCKETS))[: BUCKETS * sizeof(uint64_t)]

    def histograms(self):
        return (<const char *>self.L.histogram)[: HISTOGRAMS_N * BUCKETS * sizeof(uint64_t)]

    def note_slower_than(self, uint32_t microseconds):
        self.L.notable_pdd = microseconds

    def note_worse_than(self, double mos):
        if self.L.m != NULL:
            self.L.m.notable_mos = <int>(mos * 1000)

    def notables(self, uint64_t since):
        cdef uint64_t last = self.L.notables, i
        cdef Notable *n
        first = max(since, last - NOTABLE if last > NOTABLE else 0)
        found = []
        for i in range(first, last):
            n = &self.L.notable[i & (NOTABLE - 1)]
            found.append(told_call(n))
        return last, found

    def ladders(self):
        cdef Loop *L = self.L
        cdef int i
        if self.running or L.kept == NULL:
            return []  # the slowest call may be replaced while it is read
        found = [told_ladder(L, &L.kept[i]) for i in range(L.kept_n)]
        if L.kept[LADDERS].messages:
            found.append(told_ladder(L, &L.kept[LADDERS]))
        return found

    def close(self):
        if self.running:
            raise RuntimeError("the loop is running")
        for sock in self.sockets:
            sock.close()
        self.sockets = ()
        wills_close(self.L)
        if self.shared is not None:
            self.shared.close()
        media_free(self.L)
        self.L.has_media = False


include "_doors.pxi"

digest_prepare()
