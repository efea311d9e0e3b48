# RTP of the load loop on its way: sockets are read and written.


# -- receiving


cdef void drain(Media *m, int fd) noexcept nogil:
    """What is left of the call before is not ours."""
    cdef int i, n, rounds
    for rounds in range(64):
        n = recvmmsg(fd, m.in_header, <unsigned int>m.in_batch, MSG_DONTWAIT, NULL)
        if n < m.in_batch:
            return


cdef uint64_t stamp_of(Loop *L, msghdr *h, uint32_t *segment) noexcept nogil:
    """When a datagram came, by the kernel. `segment` becomes the size of the packets that were joined to it."""
    cdef cmsghdr *c = CMSG_FIRSTHDR(h)
    cdef timespec t
    cdef uint32_t drops = 0
    cdef int size = 0
    cdef uint64_t found = <uint64_t>wall_ns()
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


cdef void receive_stream(Loop *L, Stream *s, bint all) noexcept nogil:
    """What has come to the socket of a stream: one packet, or all."""
    cdef Media *m = L.m
    cdef msghdr *h = &m.in_header[0].msg_hdr
    cdef ssize_t n
    cdef int rounds
    cdef uint32_t size = 0
    cdef uint64_t arrival
    cdef Address *source = &m.in_from[0]
    for rounds in range(4096 if all else 1):
        h.msg_namelen = 28
        h.msg_controllen = CONTROL_SIZE
        n = recvmsg(s.fd, h, MSG_DONTWAIT)
        if n < 0:
            if errno == ECONNREFUSED or errno == EINTR:
                continue
            break
        if not is_rtp(m, m.in_data, <uint32_t>n):
            continue
        source.size = h.msg_namelen
        arrival = stamp_of(L, h, &size)
        if admits(L, s, m.in_data, source, arrival):
            account(L, s, m.in_data, <uint32_t>n, arrival)
        else:
            L.count[C_RTP_UNMATCHED] += 1

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
                found = stream_of(m, ssrc_of(p), (<uint32_t>p[2] << 8) | p[3], &m.in_from[i])
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
    return sendto(s.fd, m.out_data, size, MSG_DONTWAIT, <sockaddr *>&s.out.raw[0], s.out.size) >= 0


cdef void send_phase(Loop *L, int phase) noexcept nogil:
    cdef Media *m = L.m
    cdef uint32_t index = m.phase_head[phase]
    cdef size_t size = RTP_HEADER + m.frame
    cdef Stream *s
    cdef mmsghdr *h
    while index != NONE:
        s = &m.stream[index]
        index = s.next
        if s.held or not s.addressed:
            if not m.shared:
                receive_stream(L, s, True)
        elif m.shared:
            write_rtp(m, s, m.out_data + m.out_n * size)
            h = &m.out_header[m.out_n]
            h.msg_hdr.msg_name = &s.out.raw[0]
            h.msg_hdr.msg_namelen = s.out.size
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
    m.ptime, m.min_heard = media.ptime, media.min_heard
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
