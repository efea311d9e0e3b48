# RTP of the load loop: streams that are paced in forty phases of a packet time and account for what they
# receive as RFC 3550 has it (appendix A.3 loss, A.8 jitter), each with a MOS by the E-model.

cdef enum:
    PHASES = 40                 # of a packet time: half a millisecond at 20 ms
    RTP_BATCH = 128
    RTP_ROOM = 2048
    GRO_BATCH = 32              # pieces taken by one recvmmsg where the kernel joins packets again
    GRO_ROOM = 65536
    DRAIN = 7                   # a mask: every so many packets the queue of a stream is read to its end
    RUN = 44                    # packets in one piece: 44 of 1,412 octets are below 64 KiB
    RTP_HEADER = 12
    SILENT_MS = 200             # a stream that was open for less is not called silent

cdef struct Stream:
    int fd
    uint32_t port
    uint32_t ssrc
    uint32_t theirs             # their SSRC
    bint open
    bint sending
    bint addressed              # SDP said where to
    bint told                   # SDP said their SSRC
    bint latched                # `theirs` is known
    Address to
    uint32_t next
    uint32_t prev
    int phase                   # -1: in none
    uint32_t slot
    uint16_t sequence
    uint32_t timestamp
    uint32_t at                 # into the payload
    uint64_t opened             # ns
    uint64_t began              # ns, when we began to send
    # what came
    uint64_t received, unique, duplicated, reordered, discarded
    int64_t lost                # by gaps; what comes late after all is taken off again
    uint64_t gaps
    uint32_t first, highest     # extended sequence numbers
    uint64_t window             # of the last 64 numbers, bit 0 the highest
    double jitter               # timestamp units
    double transit
    uint64_t first_arrival      # ns
    uint32_t first_timestamp

cdef struct Media:
    int notable_mos
    bint shared
    bint segments               # the kernel cuts pieces into packets
    int fd
    uint32_t shared_port
    uint8_t *payload
    uint32_t payload_size
    uint32_t frame
    uint32_t units              # of a packet, in timestamp units
    uint8_t payload_type
    double clock_rate
    uint64_t phase_ns
    uint64_t phase_at           # the phase that was sent last, counted from the beginning
    double buffer_ns
    double r_best, ie, bpl
    Stream *stream
    uint32_t streams            # allocated
    uint32_t active
    uint32_t *free_list
    uint32_t free_count
    uint32_t *bound             # streams whose socket is open and waits for another call
    uint32_t bound_count
    uint32_t low, high, next_port
    Address local
    uint32_t phase_head[PHASES]
    uint32_t phase_size[PHASES]
    uint32_t serial
    uint32_t *by_ssrc           # shared: open addressing, stream + 1
    uint32_t *by_address
    uint32_t mask
    mmsghdr *out_header
    iovec *out_iov
    uint8_t *out_data
    int out_n
    mmsghdr *in_header
    iovec *in_iov
    Address *in_from
    uint8_t *in_data
    uint8_t *in_control
    int in_batch
    uint32_t in_room
    uint64_t last_drops


# -- where streams are found on a shared port


cdef inline uint32_t address_hash(Address *a) noexcept nogil:
    return <uint32_t>mixed(0x5bd1e995, a.raw, 8 if a.size == sizeof(sockaddr_in) else 24)


cdef inline bint same_address(Address *a, Address *b) noexcept nogil:
    """Family, port and host; flow and scope of IPv6 aside."""
    if a.size != b.size:
        return False
    if a.size == sizeof(sockaddr_in):
        return memcmp(a.raw, b.raw, 8) == 0
    return memcmp(a.raw, b.raw, 4) == 0 and memcmp(a.raw + 8, b.raw + 8, 16) == 0


cdef void index_add(uint32_t *table, uint32_t mask, uint32_t h, uint32_t stream) noexcept nogil:
    cdef uint32_t i
    for i in range(mask + 1):
        if table[(h + i) & mask] == 0 or table[(h + i) & mask] == NONE:
            table[(h + i) & mask] = stream + 1
            return


cdef void index_drop(uint32_t *table, uint32_t mask, uint32_t h, uint32_t stream) noexcept nogil:
    cdef uint32_t i
    for i in range(mask + 1):
        if table[(h + i) & mask] == stream + 1:
            # Where nothing follows, the place is empty again; else a mark keeps the chain whole.
            table[(h + i) & mask] = NONE if table[(h + i + 1) & mask] else 0
            return
        if table[(h + i) & mask] == 0:
            return


cdef int stream_of(Media *m, uint32_t ssrc, Address *source) noexcept nogil:
    cdef uint32_t h = ssrc * 0x9E3779B1U, i, found
    cdef Stream *s
    for i in range(m.mask + 1):
        found = m.by_ssrc[(h + i) & m.mask]
        if found == 0:
            break
        if found != NONE and m.stream[found - 1].theirs == ssrc:
            return <int>(found - 1)
    h = address_hash(source)
    for i in range(m.mask + 1):
        found = m.by_address[(h + i) & m.mask]
        if found == 0:
            break
        if found == NONE:
            continue
        s = &m.stream[found - 1]
        if not s.told and not s.latched and same_address(&s.to, source):
            s.latched = True
            s.theirs = ssrc
            index_add(m.by_ssrc, m.mask, ssrc * 0x9E3779B1U, found - 1)
            return <int>(found - 1)
    return -1


# -- opening and closing


cdef int bind_stream(Loop *L, Stream *s) noexcept nogil:
    """A socket on the next free port of the range; -1 when there is none. RTP has even ports (RFC 3550, 11)."""
    cdef Media *m = L.m
    cdef Address a = m.local
    cdef uint32_t tries, pairs = (m.high - m.low + 1) // 2
    cdef int fd, one = 1, size = 65536, level
    fd = socket(AF_INET if a.size == sizeof(sockaddr_in) else AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        return -1
    for tries in range(pairs):
        (<sockaddr_in *>&a.raw[0]).sin_port = htons(<uint16_t>m.next_port)
        s.port = m.next_port
        m.next_port += 2
        if m.next_port > m.high:
            m.next_port = m.low
        if c_bind(fd, <sockaddr *>&a.raw[0], a.size) == 0:
            setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, 4)
            setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, 4)
            level = 46 << 2
            if a.size == sizeof(sockaddr_in):
                setsockopt(fd, 0, 1, &level, 4)  # IP_TOS: expedited forwarding
            return fd
    c_close(fd)
    return -1


cdef int media_open(Loop *L, uint32_t slot) noexcept nogil:
    """A stream for a call; -1 when no port is left."""
    cdef Media *m = L.m
    cdef uint32_t index
    cdef int fd = -1
    cdef uint32_t port = m.shared_port
    cdef Stream *s
    if not m.shared and m.bound_count:
        m.bound_count -= 1
        index = m.bound[m.bound_count]
        s = &m.stream[index]
        fd = s.fd
        port = s.port
        drain(m, fd)
    else:
        if m.free_count == 0:
            return -1
        index = m.free_list[m.free_count - 1]
        s = &m.stream[index]
        if not m.shared:
            fd = bind_stream(L, s)
            if fd < 0:
                return -1
            port = s.port
        m.free_count -= 1
    memset(s, 0, sizeof(Stream))
    s.fd = fd
    s.port = port
    m.serial += 1
    # Ten decimal digits, and no two alike in this loop for a thousand million streams.
    s.ssrc = 0x40000000U | ((m.serial * 0x9E3779B1U + L.salt) & 0x3FFFFFFFU)
    s.open = True
    s.phase = -1
    s.slot = slot
    s.sequence = <uint16_t>next_random(L)
    s.timestamp = <uint32_t>next_random(L)
    s.at = <uint32_t>(next_random(L) % (m.payload_size // m.frame)) * m.frame
    s.opened = L.now
    m.active += 1
    L.count[C_STREAMS] = m.active
    if m.active > L.count[C_STREAMS_PEAK]:
        L.count[C_STREAMS_PEAK] = m.active
    return <int>index


cdef uint32_t media_port(Loop *L, int stream) noexcept nogil:
    return L.m.stream[stream].port if L.has_media and stream >= 0 else 9


cdef uint32_t media_ssrc(Loop *L, int stream) noexcept nogil:
    return L.m.stream[stream].ssrc if L.has_media and stream >= 0 else 0


cdef Span sdp_line(Span body, uint32_t at, uint32_t *after) noexcept nogil:
    cdef uint32_t n = at
    while n < body.n and body.p[n] != 10:
        n += 1
    after[0] = n + 1
    return trimmed(body.p + at, body.p + n)


cdef bint sdp_address(Span line, Address *a) noexcept nogil:
    """`c=IN IP4 host`; the port of `a` stays."""
    cdef char host[64]
    cdef uint32_t n = 0
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    if line.n < 10:
        return False
    while n < 63 and 9 + n < line.n and line.p[9 + n] != 47 and not is_space(line.p[9 + n]):
        host[n] = <char>line.p[9 + n]
        n += 1
    host[n] = 0
    memset(&four, 0, sizeof(four))
    memset(&six, 0, sizeof(six))
    memset(a, 0, sizeof(Address))
    if inet_pton(AF_INET, host, &four.sin_addr) == 1:
        four.sin_family = <uint16_t>AF_INET
        memcpy(a.raw, &four, sizeof(four))
        a.size = sizeof(four)
        return True
    if inet_pton(AF_INET6, host, &six.sin6_addr) == 1:
        six.sin6_family = <uint16_t>AF_INET6
        memcpy(a.raw, &six, sizeof(six))
        a.size = sizeof(six)
        return True
    return False


cdef bint same_host(Address *a, Address *b) noexcept nogil:
    if a.size != b.size:
        return False
    if a.size == sizeof(sockaddr_in):
        return memcmp(a.raw + 4, b.raw + 4, 4) == 0
    return memcmp(a.raw + 8, b.raw + 8, 16) == 0


cdef bint media_start(Loop *L, int stream, Span body, Address *peer) noexcept nogil:
    """Reads the first audio of the SDP: where to, and which SSRC to expect. False where RTP may not go."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef uint32_t at = 0, after = 0, port = 0, v = 0, i
    cdef Span line
    cdef Address session, own
    cdef bint in_audio = False, past = False
    memset(&session, 0, sizeof(session))
    memset(&own, 0, sizeof(own))
    while at < body.n:
        line = sdp_line(body, at, &after)
        at = after
        if line.n < 3 or line.p[1] != 61:
            continue
        if line.p[0] == 109:  # m
            if in_audio:
                past = True
            elif not past and line.n > 8 and memcmp(line.p, <const char *>b"m=audio ", 8) == 0:
                in_audio = True
                if number(span(line.p + 8, line.p + line.n), &port) == 0 or port > 65535:
                    port = 0
        elif past:
            continue
        elif line.p[0] == 99:  # c
            sdp_address(line, &own if in_audio else &session)
        elif line.p[0] == 97 and in_audio and line.n > 7 and memcmp(line.p, <const char *>b"a=ssrc:", 7) == 0:
            if not s.told and number(span(line.p + 7, line.p + line.n), &v):
                s.told = True
                s.latched = True
                s.theirs = v
    if own.size == 0:
        own = session
    if own.size == 0 or port == 0 or own.size != m.local.size:
        return False
    (<sockaddr_in *>&own.raw[0]).sin_port = htons(<uint16_t>port)
    if not (same_host(&own, peer) or permitted(L, &own)):
        return False
    if s.addressed and m.shared:
        index_drop(m.by_address, m.mask, address_hash(&s.to), <uint32_t>stream)
    s.to = own
    s.addressed = True
    if m.shared:
        index_add(m.by_address, m.mask, address_hash(&s.to), <uint32_t>stream)
        if s.told:
            index_add(m.by_ssrc, m.mask, s.theirs * 0x9E3779B1U, <uint32_t>stream)
    return True


cdef void media_send(Loop *L, int stream) noexcept nogil:
    """Begins to send, in the phase with the fewest streams."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef int i, best = 0
    if s.sending or not s.addressed:
        if not s.addressed and s.began == 0:
            s.began = L.now
        return
    for i in range(1, PHASES):
        if m.phase_size[i] < m.phase_size[best]:
            best = i
    s.phase = best
    s.prev = NONE
    s.next = m.phase_head[best]
    if s.next != NONE:
        m.stream[s.next].prev = <uint32_t>stream
    m.phase_head[best] = <uint32_t>stream
    m.phase_size[best] += 1
    s.sending = True
    s.began = L.now


cdef void media_stop(Loop *L, int stream) noexcept nogil:
    """Sends no more; what comes is still counted."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    if s.phase < 0:
        return
    if s.prev == NONE:
        m.phase_head[s.phase] = s.next
    else:
        m.stream[s.prev].next = s.next
    if s.next != NONE:
        m.stream[s.next].prev = s.prev
    m.phase_size[s.phase] -= 1
    s.phase = -1
    s.sending = False


cdef int rating(Media *m, Stream *s) noexcept nogil:
    """MOS in thousandths, from R without loss and Ie,eff (G.107 eqs. 7-29 and B-4)."""
    cdef double expected = <double>(s.highest - s.first) + 1.0
    cdef double lost = <double>(s.lost if s.lost > 0 else 0)
    cdef double ppl, burst = 1.0, r, mos
    ppl = 100.0 * (lost + <double>s.discarded) / expected
    if ppl > 100.0:
        ppl = 100.0
    if s.gaps and lost > 0:
        burst = lost / <double>s.gaps * (1.0 - lost / expected)
        if burst < 1.0:
            burst = 1.0
    r = m.r_best - (m.ie + (95.0 - m.ie) * ppl / (ppl / burst + m.bpl))
    if r <= 0.0:
        return 1000
    if r >= 100.0:
        return 4500
    mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
    return <int>(mos * 1000.0 + 0.5) if mos > 1.0 else 1000


cdef int media_close(Loop *L, int stream) noexcept nogil:
    """The end of a stream: its MOS in thousandths, 0 when it was silent, -1 when it was too short to say."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef int mos = -1
    cdef double expected, lost
    media_stop(L, stream)
    if not m.shared:
        receive_stream(L, s, True)
    if s.received:
        mos = rating(m, s)
        expected = <double>(s.highest - s.first) + 1.0
        lost = <double>(s.lost if s.lost > 0 else 0)
        record(L, H_MOS, <uint64_t>mos)
        record(L, H_JITTER, <uint64_t>(s.jitter / m.clock_rate * 1e6))
        record(L, H_LOSS, <uint64_t>(10000.0 * lost / expected))
        L.count[C_RTP_LOST] += <uint64_t>(s.lost if s.lost > 0 else 0)
        L.count[C_STREAMS_ENDED] += 1
    elif s.began and L.now - s.began > SILENT_MS * 1000000ULL:
        mos = 0
        L.count[C_STREAMS_SILENT] += 1
        L.count[C_STREAMS_ENDED] += 1
    if m.shared:
        if s.addressed:
            index_drop(m.by_address, m.mask, address_hash(&s.to), <uint32_t>stream)
        if s.latched:
            index_drop(m.by_ssrc, m.mask, s.theirs * 0x9E3779B1U, <uint32_t>stream)
        m.free_list[m.free_count] = <uint32_t>stream
        m.free_count += 1
    else:
        m.bound[m.bound_count] = <uint32_t>stream
        m.bound_count += 1
    s.open = False
    m.active -= 1
    L.count[C_STREAMS] = m.active
    return mos


# -- receiving


cdef void drain(Media *m, int fd) noexcept nogil:
    """What is left of the call before is not ours."""
    cdef int i, n, rounds
    for rounds in range(64):
        n = recvmmsg(fd, m.in_header, <unsigned int>m.in_batch, MSG_DONTWAIT, NULL)
        if n < m.in_batch:
            return


cdef void account(Loop *L, Stream *s, const uint8_t *p, uint32_t n, uint64_t arrival) noexcept nogil:
    """One RTP packet of a stream; `arrival` in ns by the clock of the kernel's timestamps."""
    cdef Media *m = L.m
    cdef uint32_t sequence, timestamp, ahead, number
    cdef int32_t behind
    cdef double transit, difference, due
    sequence = (<uint32_t>p[2] << 8) | p[3]
    timestamp = (<uint32_t>p[4] << 24) | (<uint32_t>p[5] << 16) | (<uint32_t>p[6] << 8) | p[7]
    L.count[C_RTP_RECEIVED] += 1
    s.received += 1
    if s.received == 1:
        s.first = s.highest = 0x10000 + sequence
        s.window = 1
        s.unique = 1
        s.first_arrival = arrival
        s.first_timestamp = timestamp
        s.transit = 0.0
        return
    ahead = (sequence - s.highest) & 0xFFFF
    if 0 < ahead < 3000:
        s.highest += ahead
        if ahead > 1:
            s.lost += ahead - 1
            s.gaps += 1
        s.window = (s.window << ahead) | 1 if ahead < 64 else 1
        s.unique += 1
    else:
        behind = <int32_t>((s.highest - sequence) & 0xFFFF)
        if behind >= 64:
            s.discarded += 1
            L.count[C_RTP_DISCARDED] += 1
            return
        if s.window >> behind & 1:
            s.duplicated += 1
            L.count[C_RTP_DUPLICATED] += 1
            return
        s.window |= 1ULL << behind
        s.unique += 1
        s.reordered += 1
        L.count[C_RTP_REORDERED] += 1
        if s.highest - <uint32_t>behind >= s.first:
            s.lost -= 1
    due = <double><int32_t>(timestamp - s.first_timestamp)
    transit = <double><int64_t>(arrival - s.first_arrival) * m.clock_rate / 1e9 - due
    difference = transit - s.transit
    if difference < 0:
        difference = -difference
    s.transit = transit
    s.jitter += (difference - s.jitter) / 16.0
    if transit * 1e9 / m.clock_rate > m.buffer_ns:
        s.discarded += 1
        L.count[C_RTP_DISCARDED] += 1


cdef inline bint is_rtp(Media *m, const uint8_t *p, uint32_t n) noexcept nogil:
    """Version 2, and none of the packet types of RTCP (RFC 5761 section 4)."""
    return n >= RTP_HEADER and p[0] >> 6 == 2 and not 192 <= p[1] <= 223


cdef uint64_t stamp_of(Loop *L, msghdr *h, uint32_t *segment) noexcept nogil:
    """When a datagram came, by the kernel. `segment` becomes the size of the packets that were joined to it."""
    cdef cmsghdr *c = CMSG_FIRSTHDR(h)
    cdef timespec t
    cdef uint32_t drops = 0
    cdef int size = 0
    cdef uint64_t found = L.now
    while c != NULL:
        if c.cmsg_level == SOL_SOCKET:
            if c.cmsg_type == SO_TIMESTAMPNS:
                memcpy(&t, CMSG_DATA(c), sizeof(t))
                found = <uint64_t>t.tv_sec * 1000000000ULL + <uint64_t>t.tv_nsec
            elif c.cmsg_type == SO_RXQ_OVFL and L.m.shared:
                memcpy(&drops, CMSG_DATA(c), 4)
                L.count[C_MEDIA_DROPS] += drops - <uint32_t>L.m.last_drops
                L.m.last_drops = drops
        elif c.cmsg_level == SOL_UDP and c.cmsg_type == UDP_GRO:
            memcpy(&size, CMSG_DATA(c), sizeof(size))
            if size > 0:
                segment[0] = <uint32_t>size
        c = CMSG_NXTHDR(h, c)
    return found


cdef inline uint32_t ssrc_of(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[8] << 24) | (<uint32_t>p[9] << 16) | (<uint32_t>p[10] << 8) | p[11]


cdef void receive_stream(Loop *L, Stream *s, bint all) noexcept nogil:
    """What has come to the socket of a stream: one packet, or all. Its source is latched by SSRC: that of SDP, or
    the first one."""
    cdef Media *m = L.m
    cdef msghdr *h = &m.in_header[0].msg_hdr
    cdef ssize_t n
    cdef int rounds
    cdef uint32_t ssrc, size = 0
    for rounds in range(4096 if all else 1):
        h.msg_namelen = 0
        h.msg_name = NULL
        h.msg_controllen = CONTROL_SIZE
        n = recvmsg(s.fd, h, MSG_DONTWAIT)
        if n < 0:
            if errno == ECONNREFUSED or errno == EINTR:
                continue
            return
        if not is_rtp(m, m.in_data, <uint32_t>n):
            continue
        ssrc = ssrc_of(m.in_data)
        if not s.latched:
            s.latched = True
            s.theirs = ssrc
        elif ssrc != s.theirs:
            if s.told and s.received == 0:
                s.theirs = ssrc  # it sends another than it said
            else:
                L.count[C_RTP_UNMATCHED] += 1
                continue
        account(L, s, m.in_data, <uint32_t>n, stamp_of(L, h, &size))


cdef uint32_t receive_shared(Loop *L) noexcept nogil:
    """What has come to the shared port; packets that came in one piece are told apart again by their size."""
    cdef Media *m = L.m
    cdef int i, n, found, rounds
    cdef uint32_t size, segment, at, one, total = 0
    cdef uint64_t stamp
    cdef const uint8_t *p
    for rounds in range(16):
        for i in range(m.in_batch):
            m.in_header[i].msg_hdr.msg_namelen = 28
            m.in_header[i].msg_hdr.msg_controllen = CONTROL_SIZE
        n = recvmmsg(m.fd, m.in_header, <unsigned int>m.in_batch, MSG_DONTWAIT, NULL)
        for i in range(n):
            size = segment = m.in_header[i].msg_len
            if size > m.in_room:
                continue
            stamp = stamp_of(L, &m.in_header[i].msg_hdr, &segment)
            m.in_from[i].size = m.in_header[i].msg_hdr.msg_namelen
            at = 0
            while at < size:
                p = m.in_data + <size_t>i * m.in_room + at
                one = segment if segment < size - at else size - at
                at += one
                total += 1
                if not is_rtp(m, p, one):
                    continue
                found = stream_of(m, ssrc_of(p), &m.in_from[i])
                if found < 0:
                    L.count[C_RTP_UNMATCHED] += 1
                    continue
                account(L, &m.stream[found], p, one, stamp)
        if n < m.in_batch:
            break
    return total


# -- sending


cdef int send_run(Media *m, int start, int count) noexcept nogil:
    """Packets of one size to one address, handed to the kernel in one piece that it cuts up again (UDP_SEGMENT):
    on the wire they are the same datagrams. 0, or the error."""
    cdef msghdr h
    cdef iovec v
    cdef uint8_t control[64]
    cdef cmsghdr *c
    cdef uint16_t size = <uint16_t>(RTP_HEADER + m.frame)
    memset(&h, 0, sizeof(h))
    memset(control, 0, sizeof(control))
    h.msg_name = m.out_header[start].msg_hdr.msg_name
    h.msg_namelen = m.out_header[start].msg_hdr.msg_namelen
    v.iov_base = m.out_data + start * size  # they lie one after the other
    v.iov_len = <size_t>(count * size)
    h.msg_iov = &v
    h.msg_iovlen = 1
    h.msg_control = control
    h.msg_controllen = CMSG_SPACE(2)
    c = CMSG_FIRSTHDR(&h)
    c.cmsg_level = SOL_UDP
    c.cmsg_type = UDP_SEGMENT
    c.cmsg_len = CMSG_LEN(2)
    memcpy(CMSG_DATA(c), &size, 2)
    return 0 if sendmsg(m.fd, &h, MSG_DONTWAIT) >= 0 else errno


cdef void flush_rtp(Loop *L) noexcept nogil:
    cdef Media *m = L.m
    cdef int done = 0, n, waits = 0, code, run
    cdef msghdr *a
    cdef msghdr *b
    cdef pollfd p
    while done < m.out_n:
        run = 1
        a = &m.out_header[done].msg_hdr
        while m.segments and done + run < m.out_n and run < RUN:
            b = &m.out_header[done + run].msg_hdr
            if a.msg_namelen != b.msg_namelen or memcmp(a.msg_name, b.msg_name, a.msg_namelen) != 0:
                break
            run += 1
        if run > 1:
            code = send_run(m, done, run)
            if code == 0:
                done += run
                continue
            if code == EIO or code == EINVAL or code == EMSGSIZE or code == EOPNOTSUPP:
                m.segments = False  # not on this route, or not by this kernel
                continue
        else:
            n = sendmmsg(
                m.fd, m.out_header + done, 1 if m.segments else <unsigned int>(m.out_n - done), MSG_DONTWAIT
            )
            if n > 0:
                done += n
                continue
            code = errno
        if code == EINTR:
            continue
        if code == EAGAIN or code == ENOBUFS:
            waits += 1
            if waits < 20:
                p.fd = m.fd
                p.events = POLLOUT
                c_poll(&p, 1, 1)
                continue
        elif code == ECONNREFUSED and waits < RTP_BATCH:
            waits += 1
            continue
        L.count[C_RTP_SEND_ERRORS] += run
        done += run
    L.count[C_RTP_SENT] += m.out_n
    m.out_n = 0


cdef inline void write_rtp(Media *m, Stream *s, uint8_t *p) noexcept nogil:
    """The next packet of a stream, header and frame."""
    p[0] = 0x80
    p[1] = m.payload_type
    p[2] = <uint8_t>(s.sequence >> 8)
    p[3] = <uint8_t>s.sequence
    p[4] = <uint8_t>(s.timestamp >> 24)
    p[5] = <uint8_t>(s.timestamp >> 16)
    p[6] = <uint8_t>(s.timestamp >> 8)
    p[7] = <uint8_t>s.timestamp
    p[8] = <uint8_t>(s.ssrc >> 24)
    p[9] = <uint8_t>(s.ssrc >> 16)
    p[10] = <uint8_t>(s.ssrc >> 8)
    p[11] = <uint8_t>s.ssrc
    memcpy(p + RTP_HEADER, m.payload + s.at, m.frame)
    s.sequence += 1
    s.timestamp += m.units
    s.at += m.frame
    if s.at >= m.payload_size:
        s.at = 0


cdef inline bint send_one(Media *m, Stream *s, size_t size) noexcept nogil:
    return sendto(s.fd, m.out_data, size, MSG_DONTWAIT, <sockaddr *>&s.to.raw[0], s.to.size) >= 0


cdef void send_phase(Loop *L, int phase) noexcept nogil:
    cdef Media *m = L.m
    cdef uint32_t index = m.phase_head[phase]
    cdef size_t size = RTP_HEADER + m.frame
    cdef Stream *s
    cdef mmsghdr *h
    while index != NONE:
        s = &m.stream[index]
        index = s.next
        if m.shared:
            write_rtp(m, s, m.out_data + m.out_n * size)
            h = &m.out_header[m.out_n]
            h.msg_hdr.msg_name = &s.to.raw[0]
            h.msg_hdr.msg_namelen = s.to.size
            m.out_n += 1
            if m.out_n == RTP_BATCH:
                flush_rtp(L)
        else:
            # Receiving first leaves what came with this packet time counted before the next is sent. To ask twice for
            # each packet would cost as much as a tenth of it, so the end of the queue is looked for now and then.
            receive_stream(L, s, (s.sequence & DRAIN) == 0)
            write_rtp(m, s, m.out_data)
            # An ICMP error of an earlier packet comes instead of this one: once more.
            if not send_one(m, s, size) and (errno != ECONNREFUSED or not send_one(m, s, size)):
                L.count[C_RTP_SEND_ERRORS] += 1
            L.count[C_RTP_SENT] += 1
    if m.shared and m.out_n:
        flush_rtp(L)


cdef void media_turn(Loop *L) noexcept nogil:
    """Sends every phase that is due; what the loop missed by more than a packet time is sent late, not lost."""
    cdef Media *m = L.m
    cdef uint64_t wanted = (L.now - L.began) // m.phase_ns
    cdef uint64_t before, late
    cdef int phase
    if m.shared:
        receive_shared(L)
    if m.phase_at + 2 * PHASES < wanted and m.active == 0:
        m.phase_at = wanted
        return
    while m.phase_at < wanted:
        m.phase_at += 1
        phase = <int>(m.phase_at % PHASES)
        if m.phase_size[phase] == 0:
            continue
        before = L.count[C_RTP_SENT]
        send_phase(L, phase)
        late = clock_ns() - L.began - m.phase_at * m.phase_ns
        record_many(L, H_RTP_LATENESS, late // 1000, L.count[C_RTP_SENT] - before)


cdef inline void record_many(Loop *L, int which, uint64_t value, uint64_t times) noexcept nogil:
    cdef uint32_t index
    cdef int shift
    if value < 256:
        index = <uint32_t>value
    else:
        shift = 63 - __builtin_clzll(value) - 7
        index = <uint32_t>(128 * shift + (value >> shift))
        if index >= BUCKETS:
            index = BUCKETS - 1
    L.histogram[which * BUCKETS + index] += times


cdef long media_rest(Loop *L, long wait) noexcept nogil:
    """`wait` in ns, or less until the next phase that has streams."""
    cdef Media *m = L.m
    cdef uint64_t now
    cdef int64_t rest
    cdef int i
    if not L.has_media or m.active == 0:
        return wait
    now = clock_ns() - L.began
    for i in range(1, PHASES + 1):
        if m.phase_size[(m.phase_at + i) % PHASES]:
            rest = <int64_t>((m.phase_at + i) * m.phase_ns) - <int64_t>now
            if rest < 0:
                rest = 0
            return <long>rest if rest < wait else wait
    return wait


# -- made and unmade


cdef media_prepare(Loop *L, config):
    cdef Media *m
    cdef int i
    cdef uint32_t count
    cdef bytes payload
    m = L.m = <Media *>calloc(1, sizeof(Media))
    if m == NULL:
        raise MemoryError
    m.fd = -1
    media = config.media
    if media is None:
        return
    payload = media.payload
    if media.frame <= 0 or media.frame > 1400 or len(payload) < media.frame or len(payload) % media.frame:
        raise ValueError("the payload is a whole number of frames")
    m.shared = media.mode == "shared"
    m.segments = True
    m.payload_size = len(payload)
    m.frame = media.frame
    m.units = int(media.clock_rate * media.ptime)
    m.payload_type = media.payload_type & 0x7F
    m.clock_rate = media.clock_rate
    m.phase_ns = int(media.ptime * 1e9) // PHASES
    m.buffer_ns = media.jitter_buffer * 1e9
    m.r_best, m.ie, m.bpl = media.r_best, media.ie, media.bpl
    m.low = media.low + media.low % 2
    m.high = media.high
    m.next_port = m.low
    _address(media.host, 0, &m.local)
    count = 65536 if m.shared else max(0, (m.high - m.low + 1) // 2)
    m.streams = count
    m.stream = <Stream *>calloc(count + 1, sizeof(Stream))
    m.free_list = <uint32_t *>malloc((count + 1) * sizeof(uint32_t))
    m.bound = <uint32_t *>malloc((count + 1) * sizeof(uint32_t))
    m.payload = <uint8_t *>malloc(len(payload))
    m.out_header = <mmsghdr *>calloc(RTP_BATCH, sizeof(mmsghdr))
    m.out_iov = <iovec *>calloc(RTP_BATCH, sizeof(iovec))
    m.out_data = <uint8_t *>malloc(RTP_BATCH * (RTP_HEADER + m.frame))
    m.in_header = <mmsghdr *>calloc(RTP_BATCH, sizeof(mmsghdr))
    m.in_iov = <iovec *>calloc(RTP_BATCH, sizeof(iovec))
    m.in_from = <Address *>calloc(RTP_BATCH, sizeof(Address))
    m.in_batch = GRO_BATCH if m.shared else RTP_BATCH
    m.in_room = GRO_ROOM if m.shared else RTP_ROOM
    m.in_data = <uint8_t *>malloc(<size_t>m.in_batch * m.in_room)
    m.in_control = <uint8_t *>malloc(RTP_BATCH * CONTROL_SIZE)
    if (
        m.stream == NULL or m.free_list == NULL or m.bound == NULL or m.payload == NULL or m.out_header == NULL
        or m.out_iov == NULL or m.out_data == NULL or m.in_header == NULL or m.in_iov == NULL
        or m.in_from == NULL or m.in_data == NULL or m.in_control == NULL
    ):
        raise MemoryError
    memcpy(m.payload, <const char *>payload, len(payload))
    for i in range(<int>count):
        m.stream[i].fd = -1
        m.free_list[i] = count - 1 - i
    m.free_count = count
    for i in range(PHASES):
        m.phase_head[i] = NONE
    for i in range(RTP_BATCH):
        m.out_iov[i].iov_base = m.out_data + i * (RTP_HEADER + m.frame)
        m.out_iov[i].iov_len = RTP_HEADER + m.frame
        m.out_header[i].msg_hdr.msg_iov = &m.out_iov[i]
        m.out_header[i].msg_hdr.msg_iovlen = 1
    for i in range(m.in_batch):
        m.in_iov[i].iov_base = m.in_data + <size_t>i * m.in_room
        m.in_iov[i].iov_len = m.in_room
        m.in_header[i].msg_hdr.msg_iov = &m.in_iov[i]
        m.in_header[i].msg_hdr.msg_iovlen = 1
        m.in_header[i].msg_hdr.msg_name = &m.in_from[i].raw[0]
        m.in_header[i].msg_hdr.msg_control = m.in_control + i * CONTROL_SIZE
    if m.shared:
        m.mask = 4 * count - 1
        m.by_ssrc = <uint32_t *>calloc(m.mask + 1, sizeof(uint32_t))
        m.by_address = <uint32_t *>calloc(m.mask + 1, sizeof(uint32_t))
        if m.by_ssrc == NULL or m.by_address == NULL:
            raise MemoryError
    L.has_media = True


cdef void media_begin(Loop *L) noexcept nogil:
    prctl(PR_SET_TIMERSLACK, 1000, 0, 0, 0)  # ns: the pacer's precision


cdef void media_free(Loop *L) noexcept nogil:
    cdef Media *m = L.m
    cdef uint32_t i
    if m == NULL:
        return
    if m.stream != NULL and not m.shared:
        for i in range(m.streams):
            if m.stream[i].fd >= 0:
                c_close(m.stream[i].fd)
    free(m.stream)
    free(m.free_list)
    free(m.bound)
    free(m.payload)
    free(m.out_header)
    free(m.out_iov)
    free(m.out_data)
    free(m.in_header)
    free(m.in_iov)
    free(m.in_from)
    free(m.in_data)
    free(m.in_control)
    free(m.by_ssrc)
    free(m.by_address)
    free(m)
    L.m = NULL
