# One turn of the load loop: what came is taken, what is due is done, and then it rests.


# -- receiving


cdef void dispatch(Loop *L, const uint8_t *data, uint32_t size, Address *source) noexcept nogil:
    cdef Parsed m
    L.count[C_RECEIVED] += 1
    L.about = NULL
    if not parse(data, size, &m):
        if size > 4:  # a keep-alive is no message
            L.count[C_MALFORMED] += 1
        return
    if m.status:
        on_response(L, &m)
    else:
        on_request(L, &m, source)


cdef void from_stream(Loop *L, const uint8_t *data, uint32_t size) noexcept nogil:
    """A message of a connection, or one of ours that could not be sent."""
    cdef Label label
    if size < sizeof(Label):
        return
    memcpy(&label, data, sizeof(Label))
    data += sizeof(Label)
    size -= <uint32_t>sizeof(Label)
    if label.kind == STREAM_MESSAGE:
        label.peer.conn = label.conn
        dispatch(L, data, size, &label.peer)
    else:
        given_back(L, data, size, O_REFUSED if label.kind == STREAM_REFUSED else O_UNREACHABLE)


cdef void given_back(Loop *L, const uint8_t *text, size_t n, int outcome) noexcept nogil:
    """The network does not take a message of ours: its branch says which call ends with it."""
    cdef const uint8_t *p = <const uint8_t *>memmem(text, n, <const char *>b"z9hG4bK", 7)
    cdef uint32_t slot = 0, generation = 0
    cdef Call *call
    if p == NULL or not read_id(L, p + 7, text + n, &slot, &generation) or slot >= L.calls:
        return
    call = call_at(L, slot)
    if call.generation != generation:
        return
    if call.state == S_CALLING or call.state == S_REGISTERING:
        finish(L, slot, call, O_CANCELED if call.stopped else outcome, False)
    elif call.state == S_ENDING:
        finish(L, slot, call, unended(call, outcome), False)
    elif call.state == S_CANCELING:
        finish(L, slot, call, O_CANCELED if call.stopped else outcome, False)


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
        if n < 0 and errno != EAGAIN and errno != EINTR:
            L.refused = True
            continue  # the kernel tells an error instead of receiving: messages may stand behind it
        if n <= 0:
            break
        for i in range(n):
            h = &L.in_header[i].msg_hdr
            if h.msg_controllen:
                count_drops(L, h, wild)
            if h.msg_flags & MSG_TRUNC:
                L.count[C_RECEIVED] += 1
                L.count[C_MALFORMED] += 1
                continue
            if L.streams:
                from_stream(L, L.in_data + i * IN_SIZE, L.in_header[i].msg_len)
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
        given_back(L, quoted, <size_t>n, outcome)


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
        if late > L.count[C_LATEST_US]:
            L.count[C_LATEST_US] = late
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
            L.count[C_CPU_NS] = <uint64_t>cpu.tv_sec * 1000000000ULL + <uint64_t>cpu.tv_nsec
            L.count[C_TURNS] += 64
        if finished(L):
            flush(L)
            return True
        if L.run_until and L.now >= L.run_until:
            return False
        rest(L, got)
