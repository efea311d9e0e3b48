# cython: language_level=3, boundscheck=True, wraparound=False, cdivision=True, infer_types=False
"""The load loop in native code: one thread that places and answers calls without holding the GIL.

One loop owns its sockets, timers, calls and numbers. Another thread sets the rate, pauses, stops, and reads the
numbers while it runs. The twin without a compiler is `callwright.net.load_loop`; what both are told and what
they tell is in `callwright.net.loading`.

What comes from the wire is read only through the spans of `_load_wire.pxi`, each read against its end.
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

import os
import socket as _socket

from callwright.net.loading import COUNTERS, MESSAGES, SLOTS, CallNoted


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <poll.h>
    #include <time.h>
    #include <unistd.h>
    #include <sys/prctl.h>
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #include <string.h>
    #include <linux/errqueue.h>
    """
    int __builtin_clzll(unsigned long long) nogil
    void *memmem(const void *, size_t, const void *, size_t) nogil
    ctypedef unsigned int socklen_t
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec *) nogil
    int nanosleep(timespec *, timespec *) nogil
    int CLOCK_MONOTONIC
    int CLOCK_THREAD_CPUTIME_ID
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr *CMSG_FIRSTHDR(msghdr *) nogil
    cmsghdr *CMSG_NXTHDR(msghdr *, cmsghdr *) nogil
    unsigned char *CMSG_DATA(cmsghdr *) nogil
    size_t CMSG_SPACE(size_t) nogil
    size_t CMSG_LEN(size_t) nogil
    int SOL_UDP
    int UDP_SEGMENT
    int UDP_GRO
    struct sockaddr:
        pass
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct in6_addr:
        pass
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    struct sock_extended_err:
        uint32_t ee_errno
        uint8_t ee_origin
    int sendmmsg(int, mmsghdr *, unsigned int, int) nogil
    int recvmmsg(int, mmsghdr *, unsigned int, int, timespec *) nogil
    ssize_t recvmsg(int, msghdr *, int) nogil
    ssize_t sendto(int, const void *, size_t, int, const sockaddr *, socklen_t) nogil
    int inet_pton(int, const char *, void *) nogil
    const char *inet_ntop(int, const void *, char *, socklen_t) nogil
    uint16_t htons(uint16_t) nogil
    uint16_t ntohs(uint16_t) nogil
    int socket(int, int, int) nogil
    int c_bind "bind"(int, const sockaddr *, socklen_t) nogil
    int c_close "close"(int) nogil
    int setsockopt(int, int, int, const void *, socklen_t) nogil
    ssize_t sendmsg(int, const msghdr *, int) nogil
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long) nogil
    int PR_SET_TIMERSLACK
    int SOCK_DGRAM
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int SO_TIMESTAMPNS
    int SO_RCVBUF
    int AF_INET
    int AF_INET6
    int MSG_DONTWAIT
    int MSG_ERRQUEUE
    int MSG_TRUNC
    int SOL_SOCKET
    int SO_RXQ_OVFL
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *, unsigned long, int) nogil
    int ppoll(pollfd *, unsigned long, const timespec *, const void *) nogil
    short POLLIN
    short POLLOUT
    short POLLERR

include "_load_state.pxi"
include "_load_wire.pxi"
include "_load_digest.pxi"
include "_load_calls.pxi"
include "_load_media.pxi"


# -- receiving


cdef void dispatch(Loop *L, const uint8_t *data, uint32_t size, Address *source) noexcept nogil:
    cdef Parsed m
    L.count[C_RECEIVED] += 1
    if not parse(data, size, &m):
        if size > 4:  # a keep-alive is no message
            L.count[C_MALFORMED] += 1
        return
    if m.status:
        on_response(L, &m)
    else:
        on_request(L, &m, source)


cdef void count_drops(Loop *L, msghdr *header, bint wild) noexcept nogil:
    cdef cmsghdr *c = CMSG_FIRSTHDR(header)
    cdef uint32_t drops = 0
    while c != NULL:
        if c.cmsg_level == SOL_SOCKET and c.cmsg_type == SO_RXQ_OVFL:
            memcpy(&drops, CMSG_DATA(c), 4)
            if wild:
                L.count[C_DROPS] += drops - <uint32_t>L.last_wild_drops
                L.last_wild_drops = drops
            else:
                L.count[C_DROPS] += drops - <uint32_t>L.last_drops
                L.last_drops = drops
        c = CMSG_NXTHDR(header, c)


cdef uint32_t receive(Loop *L, int fd, bint wild) noexcept nogil:
    """Takes what has come, at most some batches; how many datagrams."""
    cdef int n, i, rounds
    cdef uint32_t total = 0
    cdef msghdr *h
    for rounds in range(8):
        for i in range(IN):
            h = &L.in_header[i].msg_hdr
            h.msg_namelen = 28
            h.msg_controllen = CONTROL_SIZE
        n = recvmmsg(fd, L.in_header, IN, MSG_DONTWAIT, NULL)
        if n <= 0:
            if n < 0 and errno != EAGAIN and errno != EINTR:
                L.refused = True
            break
        for i in range(n):
            h = &L.in_header[i].msg_hdr
            if h.msg_controllen:
                count_drops(L, h, wild)
            if h.msg_flags & MSG_TRUNC:
                L.count[C_RECEIVED] += 1
                L.count[C_MALFORMED] += 1
                continue
            L.in_from[i].size = h.msg_namelen
            dispatch(L, L.in_data + i * IN_SIZE, L.in_header[i].msg_len, &L.in_from[i])
        total += n
        if n < IN:
            break
        L.now = clock_ns()
    if total:
        L.last_heard = L.now
    return total


cdef void read_refusals(Loop *L, int fd) noexcept nogil:
    """ICMP errors quote the datagram that they are about: its branch says which call was refused."""
    cdef msghdr h
    cdef iovec v
    cdef uint8_t quoted[2048]
    cdef uint8_t control[512]
    cdef Address peer
    cdef ssize_t n
    cdef cmsghdr *c
    cdef sock_extended_err e
    cdef const uint8_t *p
    cdef uint32_t slot = 0, generation = 0
    cdef Call *call
    cdef int rounds, outcome
    for rounds in range(4096):
        memset(&h, 0, sizeof(h))
        v.iov_base = quoted
        v.iov_len = sizeof(quoted)
        h.msg_iov = &v
        h.msg_iovlen = 1
        h.msg_control = control
        h.msg_controllen = sizeof(control)
        h.msg_name = &peer
        h.msg_namelen = 28
        n = recvmsg(fd, &h, MSG_ERRQUEUE | MSG_DONTWAIT)
        if n < 0:
            return
        outcome = O_UNREACHABLE
        c = CMSG_FIRSTHDR(&h)
        while c != NULL:
            if c.cmsg_len >= sizeof(cmsghdr) + sizeof(sock_extended_err) and c.cmsg_level != SOL_SOCKET:
                memcpy(&e, CMSG_DATA(c), sizeof(e))
                if e.ee_errno == ECONNREFUSED:
                    outcome = O_REFUSED
            c = CMSG_NXTHDR(&h, c)
        p = <const uint8_t *>memmem(quoted, <size_t>n, <const char *>b"z9hG4bK", 7)
        if p == NULL or not read_id(L, p + 7, quoted + n, &slot, &generation) or slot >= L.calls:
            continue
        call = call_at(L, slot)
        if call.generation != generation:
            continue
        if call.state == S_CALLING or call.state == S_REGISTERING:
            finish(L, slot, call, O_CANCELED if call.stopped else outcome, False)
        elif call.state == S_ENDING:
            finish(L, slot, call, unended(call, outcome), False)
        elif call.state == S_CANCELING:
            finish(L, slot, call, O_CANCELED if call.stopped else outcome, False)


# -- the loop


cdef void start_calls(Loop *L) noexcept nogil:
    cdef double interval, now = <double>(L.now - L.began)
    cdef uint64_t late
    cdef int n = 0
    if L.rate <= 0.0 or L.paused or L.stopping or not L.caller:
        L.next_start = now
        return
    interval = 1e9 / L.rate
    if L.next_start > now + interval:
        L.next_start = now + interval
    while L.next_start <= now and n < 256:
        if L.limit and L.count[C_ATTEMPTED] >= L.limit:
            return
        if L.concurrent and L.count[C_ACTIVE] >= L.concurrent:
            L.count[C_WITHHELD] += 1
            L.next_start = now + interval
            return
        late = <uint64_t>((now - L.next_start) / 1000.0)
        record(L, H_LATENESS, late)
        if late > L.count[C_LATEST]:
            L.count[C_LATEST] = late
        if late > 20000:
            L.count[C_LATE] += 1
        if not start_call(L):
            return
        L.next_start += interval
        n += 1
        if (n & 15) == 0:
            L.now = clock_ns()
            now = <double>(L.now - L.began)


cdef bint finished(Loop *L) noexcept nogil:
    if L.stopping >= 3:
        abandon(L)
        return True
    if L.stopping == 2:
        if L.stop_deadline == 0:
            L.stop_deadline = L.now + <uint64_t>(L.stop_seconds * 1e9)
        stop_some(L, 64 if L.rate < 20000 else 256)
        if L.now > L.stop_deadline:
            abandon(L)
            return True
    if L.count[C_ACTIVE]:
        return False
    if L.answerer:
        if L.stopping or (L.limit and L.count[C_ATTEMPTED] >= L.limit):
            return L.now - L.last_heard > <uint64_t>L.quiet * 1000000ULL
        return False
    return L.stopping > 0 or (L.limit > 0 and L.count[C_ATTEMPTED] >= L.limit)


cdef void rest(Loop *L, uint32_t got) noexcept nogil:
    """Sleeps half a millisecond while there is much to do, so that datagrams gather; else until the next one."""
    cdef timespec t
    cdef pollfd p[2]
    cdef double wait = 10e6, due
    cdef uint32_t i
    cdef uint64_t elapsed
    L.window += got
    elapsed = L.now - L.window_began
    if elapsed >= 1000000:
        # Packets in a millisecond, in sixteenths; a long pause counts as the empty milliseconds that it was.
        L.busy = (L.busy + <uint32_t>(L.window * 16000000ULL // elapsed)) // 2
        L.window = 0
        L.window_began = L.now
    if got >= IN * 8:
        return
    if L.busy >= 48:
        t.tv_sec = 0
        t.tv_nsec = media_rest(L, 450000)
        if t.tv_nsec > 0:
            nanosleep(&t, NULL)
        return
    if L.rate > 0 and not L.paused and not L.stopping and L.caller:
        if not (L.limit and L.count[C_ATTEMPTED] >= L.limit):
            due = L.next_start - <double>(L.now - L.began)
            if due < wait:
                wait = due
    for i in range(1, 11):
        if L.wheel[(L.wheel_tick + i) & (WHEEL - 1)] != NONE:
            due = <double>(L.wheel_tick + i) * 1e6 - <double>(L.now - L.began)
            if due < wait:
                wait = due
            break
    if L.stopping == 2 and wait > 1e6:
        wait = 1e6
    wait = media_rest(L, <long>wait)
    if wait <= 0:
        return
    t.tv_sec = 0
    t.tv_nsec = <long>wait
    p[0].fd = L.fd
    p[0].events = POLLIN
    p[0].revents = 0
    p[1].fd = L.wild
    p[1].events = POLLIN
    p[1].revents = 0
    if ppoll(p, 2 if L.connected else 1, &t, NULL) > 0:
        if (p[0].revents | p[1].revents) & POLLERR:
            L.refused = True
        if p[1].revents:
            L.turn = 0


cdef bint turn_until_done(Loop *L) noexcept nogil:
    """Runs until everything is done (True) or the time is over (False)."""
    cdef uint32_t got
    cdef timespec cpu
    while True:
        L.now = clock_ns()
        L.tick = <uint32_t>((L.now - L.began) // 1000000)
        got = receive(L, L.fd, False)
        if L.connected and (L.turn & 7) == 0:
            got += receive(L, L.wild, True)
        if L.refused:
            L.refused = False
            read_refusals(L, L.fd)
            if L.connected:
                read_refusals(L, L.wild)
        run_timers(L)
        start_calls(L)
        if L.has_media:
            media_turn(L)
        flush(L)
        L.turn += 1
        if (L.turn & 63) == 0:
            clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu)
            L.count[C_CPU] = <uint64_t>cpu.tv_sec * 1000000000ULL + <uint64_t>cpu.tv_nsec
            L.count[C_TICKS] += 64
        if finished(L):
            flush(L)
            return True
        if L.run_until and L.now >= L.run_until:
            return False
        rest(L, got)


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
    """See `callwright.net.loading.Loop`, which says what every verb does."""

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
        L.fd = L.wild = -1
        L.free_head = L.free_tail = NONE
        L.chunk = <Call **>calloc(CHUNKS, sizeof(Call *))
        L.wheel = <uint32_t *>malloc(WHEEL * sizeof(uint32_t))
        L.table_mask = 65535
        L.table = <uint32_t *>malloc((L.table_mask + 1) * sizeof(uint32_t))
        L.histogram = <uint64_t *>calloc(HISTOGRAMS * BUCKETS, sizeof(uint64_t))
        L.notable = <Notable *>calloc(NOTABLE, sizeof(Notable))
        L.out_header = <mmsghdr *>calloc(OUT, sizeof(mmsghdr))
        L.out_iov = <iovec *>calloc(OUT, sizeof(iovec))
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
            or L.in_header == NULL or L.in_iov == NULL or L.in_from == NULL or L.in_data == NULL
            or L.in_control == NULL or L.scratch == NULL
        ):
            raise MemoryError
        memset(L.wheel, 0xFF, WHEEL * sizeof(uint32_t))
        memset(L.table, 0xFF, (L.table_mask + 1) * sizeof(uint32_t))
        for i in range(OUT):
            L.out_iov[i].iov_base = L.out_data + i * OUT_SIZE
            L.out_header[i].msg_hdr.msg_iov = &L.out_iov[i]
            L.out_header[i].msg_hdr.msg_iovlen = 1
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
        L.concurrent = config.concurrent
        L.limit = config.calls
        L.random_account = config.random_account
        L.rate = config.rate
        L.notable_pdd = 0xFFFFFFFF
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
        self._open()
        media_prepare(L, config)
        if L.has_media and L.m.shared:
            from callwright.net.loading import open_shared_port

            self.shared = open_shared_port(config.media, joined=True)
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
        from callwright.net.loading import open_sockets

        self.sockets = open_sockets(self.config)
        self.shared = None
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
        if L.chunk != NULL:
            for i in range(L.calls):
                if call_at(L, i).dialog != NULL:
                    free(call_at(L, i).dialog)
            for i in range(L.calls >> 12):
                free(L.chunk[i])
        for i in range(TEMPLATES):
            free(L.template[i].text)
        free(L.chunk)
        free(L.wheel)
        free(L.table)
        free(L.histogram)
        free(L.notable)
        free(L.out_header)
        free(L.out_iov)
        free(L.out_to)
        free(L.out_data)
        free(L.in_header)
        free(L.in_iov)
        free(L.in_from)
        free(L.in_data)
        free(L.in_control)
        free(L.scratch)
        free(L.networks)
        free(L.field_text)
        free(L.field_part)
        free(L)

    @property
    def local(self):
        return self.sockets[0].getsockname()[:2]

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
        memset(L.histogram, 0, HISTOGRAMS * BUCKETS * sizeof(uint64_t))
        L.notables = 0

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
        return [self.L.count[i] for i in range(C_FIELDS)]

    def take_latest(self):
        cdef uint64_t worst = self.L.count[C_LATEST]
        self.L.count[C_LATEST] = 0
        return worst

    def codes(self):
        cdef int i
        return {i: self.L.codes[i] for i in range(CODES) if self.L.codes[i]}

    def histogram(self, int which):
        if not 0 <= which < HISTOGRAMS:
            raise IndexError(which)
        return (<const char *>(self.L.histogram + which * BUCKETS))[: BUCKETS * sizeof(uint64_t)]

    def histograms(self):
        return (<const char *>self.L.histogram)[: HISTOGRAMS * BUCKETS * sizeof(uint64_t)]

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
            found.append(
                CallNoted(n.at / 1e9, n.number, n.account, n.outcome, n.code, n.pdd, n.setup, n.mos)
            )
        return last, found

    def close(self):
        if self.running:
            raise RuntimeError("the loop is running")
        for sock in self.sockets:
            sock.close()
        self.sockets = ()
        if self.shared is not None:
            self.shared.close()
        media_free(self.L)
        self.L.has_media = False


def read(bytes data):
    """What the loop reads of a message, for the tests that hold it equal to its twin; None when unreadable."""
    cdef Parsed m
    cdef Span values[MOST_ROUTES * 4]
    cdef int i, count
    if not parse(<const uint8_t *><const char *>data, <uint32_t>len(data), &m):
        return None
    count = split_routes(&m, values, MOST_ROUTES * 4)
    return {
        "status": m.status,
        "method": m.method,
        "cseq": m.cseq,
        "retry_after": m.retry_after,
        "uri": _text(m.uri),
        "call_id": _text(m.call_id),
        "from": _text(m.from_value),
        "from_tag": _text(tag_of(m.from_value)),
        "to": _text(m.to_value),
        "to_tag": _text(tag_of(m.to_value)),
        "contact": _text(address_uri(m.contact_value)),
        "via": [_text(m.via[i]) for i in range(m.vias)],
        "branch": _text(m.branch),
        "sent_by": b"" if m.status else _text(m.sent_by),  # only a reply needs it
        "rport": bool(m.has_rport),
        "routes": [_text(values[i]) for i in range(count)],
        "challenge": _text(m.challenge),
        "body": _text(m.body),
    }


cdef bytes _text(Span s):
    return s.p[:s.n] if s.n else b""


def digest(bytes data):
    """MD5 in hex, for the test against hashlib."""
    cdef Md5 m
    cdef uint8_t out[32]
    md5_begin(&m)
    md5_add(&m, <const uint8_t *><const char *>data, <uint32_t>len(data))
    md5_end(&m, out)
    return out[:32]


md5_prepare()
assert len(COUNTERS) == C_FIELDS
