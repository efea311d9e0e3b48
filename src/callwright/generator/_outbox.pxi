# Messages of the load loop on their way out: written into an outbox, sent in batches.


cdef inline void put(Writer *w, const uint8_t *p, size_t n) noexcept nogil:
    if <size_t>(w.end - w.p) < n:
        w.overflow = True
        return
    memcpy(w.p, p, n)
    w.p += n


cdef inline void put_text(Writer *w, const char *text) noexcept nogil:
    put(w, <const uint8_t *>text, strlen(text))


cdef inline void put_span(Writer *w, Span s) noexcept nogil:
    put(w, s.p, s.n)


cdef inline void put_hex8(Writer *w, uint32_t v) noexcept nogil:
    cdef int i
    if w.end - w.p < 8:
        w.overflow = True
        return
    for i in range(8):
        w.p[i] = <uint8_t>HEX[(v >> (28 - 4 * i)) & 15]
    w.p += 8


cdef inline void put_decimal(Writer *w, uint64_t v) noexcept nogil:
    cdef uint8_t digits[20]
    cdef int n = 0
    while True:
        digits[n] = <uint8_t>(48 + v % 10)
        n += 1
        v = v // 10
        if v == 0:
            break
    if w.end - w.p < n:
        w.overflow = True
        return
    while n:
        n -= 1
        w.p[0] = digits[n]
        w.p += 1


# -- sending


cdef void flush(Loop *L) noexcept nogil:
    """Sends what is in the outbox; what the kernel refuses is counted, never silently lost."""
    cdef int done = 0, n, waits = 0, code
    cdef pollfd p
    while done < L.out_n:
        n = sendmmsg(L.fd, L.out_header + done, <unsigned int>(L.out_n - done), MSG_DONTWAIT)
        if n > 0:
            done += n
            continue
        code = errno
        if code == EINTR:
            continue
        if code == EAGAIN or code == ENOBUFS:
            L.count[C_SEND_BLOCKED] += 1
            waits += 1
            if waits < 100:
                p.fd = L.fd
                p.events = POLLOUT
                c_poll(&p, 1, 1)
                continue
        elif code == ECONNREFUSED or code == EHOSTUNREACH or code == ENETUNREACH:
            # An error of an earlier datagram, kept for the next call: this one is tried again.
            L.refused = True
            waits += 1
            if waits < 4 * OUT:
                continue
        L.count[C_SEND_ERRORS] += 1
        done += 1
    L.count[C_SENT] += L.out_n - L.hung_up
    L.out_n = L.hung_up = 0


cdef inline void begin_message(Loop *L, Writer *w) noexcept nogil:
    if L.out_n == OUT:
        flush(L)
    w.p = L.out_data + L.out_n * OUT_SIZE
    w.end = w.p + OUT_SIZE
    w.overflow = False


cdef enum:                      # kinds of `net.bulk_streams`
    STREAM_MESSAGE = 0
    STREAM_REFUSED = 1
    STREAM_UNREACHABLE = 2
    STREAM_CLOSE = 3


cdef void hang_up(Loop *L, uint32_t conn) noexcept nogil:
    """The call that the connection was opened for is over."""
    if L.out_n == OUT:
        flush(L)
    L.out_tag[L.out_n].conn = conn
    L.out_tag[L.out_n].kind = STREAM_CLOSE
    L.out_iov[2 * L.out_n + 1].iov_len = 0
    L.out_n += 1
    L.hung_up += 1


cdef inline void send_message(Loop *L, Writer *w, Address *to) noexcept nogil:
    """Puts the message that was written into the outbox; `to` NULL is the target."""
    cdef uint8_t *start = L.out_data + L.out_n * OUT_SIZE
    cdef int n = L.out_n
    if w.overflow:
        L.count[C_SEND_ERRORS] += 1
        return
    if L.streams:
        L.out_tag[n].conn = to.conn if to != NULL else L.speaker
        L.out_tag[n].kind = STREAM_MESSAGE
    elif to == NULL:
        if L.connected:
            L.out_header[n].msg_hdr.msg_name = NULL
            L.out_header[n].msg_hdr.msg_namelen = 0
        else:
            L.out_header[n].msg_hdr.msg_name = &L.remote.raw[0]
            L.out_header[n].msg_hdr.msg_namelen = L.remote.size
    elif L.connected:
        # Elsewhere than the target: by the other socket of the port, at once.
        if sendto(L.wild, start, <size_t>(w.p - start), MSG_DONTWAIT, <sockaddr *>&to.raw[0], to.size) < 0:
            # An error of an earlier datagram, kept for the next call: this one is tried again.
            L.refused = True
            if sendto(L.wild, start, <size_t>(w.p - start), MSG_DONTWAIT, <sockaddr *>&to.raw[0], to.size) < 0:
                L.count[C_SEND_ERRORS] += 1
        L.count[C_SENT] += 1
        return
    else:
        L.out_to[n] = to[0]
        L.out_header[n].msg_hdr.msg_name = &L.out_to[n].raw[0]
        L.out_header[n].msg_hdr.msg_namelen = to.size
    L.out_iov[2 * n + 1].iov_len = <size_t>(w.p - start)
    L.out_n = n + 1
