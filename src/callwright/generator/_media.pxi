# RTP of the load loop on its way: what came is accounted for, what is due is sent.


# -- receiving


cdef void drain(Media *m, int fd) noexcept nogil:
    """What is left of the call before is not ours."""
    cdef int i, n, rounds
    for rounds in range(64):
        n = recvmmsg(fd, m.in_header, <unsigned int>m.in_batch, MSG_DONTWAIT, NULL)
        if n < m.in_batch:
            return


cdef inline bint implausible(Stream *s, uint32_t sequence) noexcept nogil:
    """Whether the number is neither ahead nor late: another run of numbers, if the next one confirms it."""
    cdef uint32_t ahead = (sequence - s.highest) & 0xFFFF
    return s.begun and ahead >= MOST_GAP and 0x10000 - ahead >= LATE


cdef void new_time_line(Stream *s, uint32_t timestamp, uint64_t arrival) noexcept nogil:
    s.first_arrival = arrival
    s.first_timestamp = timestamp
    s.transit = 0.0


cdef void begins(Stream *s, uint32_t sequence, uint32_t timestamp, uint64_t arrival, uint32_t before) noexcept nogil:
    s.begun = True
    s.awaited = -1
    s.highest = 0x10000 + sequence
    s.first = s.highest - before
    s.window = 1 + 2 * before
    new_time_line(s, timestamp, arrival)


cdef inline void came(Stream *s, uint8_t kind, uint32_t timestamp, uint64_t arrival) noexcept nogil:
    s.quiet = kind == 13 or kind == 19
    if <int64_t>arrival > s.last_arrival:
        s.last_arrival = <int64_t>arrival
        s.last_timestamp = timestamp


cdef inline double skew_of(Media *m, Stream *s, uint32_t timestamp, uint64_t arrival) noexcept nogil:
    """ns by which the clock went further than the timestamp since the packet before."""
    return <double>(<int64_t>arrival - s.last_arrival) - <double><int32_t>(timestamp - s.last_timestamp) * 1e9 / m.clock_rate


cdef void paused(Media *m, Stream *s, uint32_t sequence, uint32_t timestamp, bint marker, uint64_t arrival) noexcept nogil:
    """No packet came for a while before this one."""
    cdef int64_t start = s.settled if s.settled > s.last_arrival else s.last_arrival
    cdef int64_t length = <int64_t>arrival - start
    cdef uint32_t ahead = (sequence - s.highest) & 0xFFFF
    cdef double skew
    if length <= 0:
        return
    s.settled = <int64_t>arrival
    skew = skew_of(m, s, timestamp, arrival)
    if s.received and (s.quiet or (s.begun and ahead == 1 and marker and -SKEW_NS < skew < SKEW_NS)):
        s.dtx_ns += length
    elif length >= GAP_NS:
        s.gap_ns += length
        s.silences += 1
        if s.begun and 1 < ahead < MOST_GAP:
            s.missing += ahead - 1
    elif (
        length >= PAUSE_NS and s.begun and ahead == 1
        and 2.0 * skew < <double>(<int64_t>arrival - s.last_arrival)
    ):
        s.gap_ns += length  # neither numbers nor lateness account for it


cdef inline void advances(Stream *s, uint32_t ahead) noexcept nogil:
    s.highest += ahead
    if ahead > 1:
        s.lost += ahead - 1
        s.gaps += 1
    s.window = (s.window << ahead) | 1 if ahead < 64 else 1


cdef inline bint stale(Stream *s, uint32_t sequence) noexcept nogil:
    """Whether the number has come before, or is from too long ago to tell."""
    cdef uint32_t ahead = (sequence - s.highest) & 0xFFFF
    cdef uint32_t behind = (s.highest - sequence) & 0xFFFF
    if not s.begun or 0 < ahead < MOST_GAP or behind >= LATE:
        return False
    return behind >= 64 or s.window >> behind & 1


cdef void discards(Loop *L, Stream *s, uint32_t sequence) noexcept nogil:
    """A packet that is no audio and no comfort noise: its number is not lost, and nothing was heard."""
    cdef uint32_t ahead = (sequence - s.highest) & 0xFFFF
    cdef uint32_t behind = (s.highest - sequence) & 0xFFFF
    s.discarded += 1
    L.count[C_RTP_DISCARDED] += 1
    if not s.begun:
        return
    if 0 < ahead < MOST_GAP:
        advances(s, ahead)
    elif behind < 64 and not (s.window >> behind & 1):
        s.window |= 1ULL << behind
        if s.highest - behind >= s.first:
            s.lost -= 1


cdef void account(Loop *L, Stream *s, const uint8_t *p, uint32_t n, uint64_t arrival) noexcept nogil:
    """One RTP packet of a stream; `arrival` in ns by the clock of the kernel's timestamps."""
    cdef Media *m = L.m
    cdef uint32_t sequence, timestamp, ahead
    cdef int32_t behind
    cdef double transit, difference, due, skew
    cdef uint8_t kind = p[1] & 0x7F
    cdef bint held
    sequence = (<uint32_t>p[2] << 8) | p[3]
    timestamp = (<uint32_t>p[4] << 24) | (<uint32_t>p[5] << 16) | (<uint32_t>p[6] << 8) | p[7]
    L.count[C_RTP_RECEIVED] += 1
    s.received += 1
    if kind != 13 and kind != 19:
        if kind != m.payload_type or n < <uint32_t>RTP_HEADER + m.frame // 4:
            discards(L, s, sequence)
            return
        s.audible = True
    held = implausible(s, sequence) and <int32_t>sequence != s.awaited
    # Only a packet with a new number ends a pause.
    if s.due and not held and <int64_t>arrival - s.last_arrival >= PAUSE_NS and not stale(s, sequence):
        paused(m, s, sequence, timestamp, p[1] & 0x80, arrival)
    if held:
        s.awaited = <int32_t>((sequence + 1) & 0xFFFF)
        s.discarded += 1
        L.count[C_RTP_DISCARDED] += 1
        return
    if implausible(s, sequence):
        # Another run of numbers: the one that was held was its first.
        begin_run(s)
        s.discarded -= 1
        L.count[C_RTP_DISCARDED] -= 1
        begins(s, sequence, timestamp, arrival, 1)
        came(s, kind, timestamp, arrival)
        return
    if not s.begun:
        begins(s, sequence, timestamp, arrival, 0)
        came(s, kind, timestamp, arrival)
        return
    ahead = (sequence - s.highest) & 0xFFFF
    if 0 < ahead < MOST_GAP:
        advances(s, ahead)
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
        s.reordered += 1
        L.count[C_RTP_REORDERED] += 1
        if s.highest - <uint32_t>behind >= s.first:
            s.lost -= 1
    s.awaited = -1
    if <int64_t>arrival - s.last_arrival >= GAP_NS:
        skew = skew_of(m, s, timestamp, arrival)
        if not -SKEW_NS < skew < SKEW_NS:
            new_time_line(s, timestamp, arrival)  # the clock of the sender stood still meanwhile
    came(s, kind, timestamp, arrival)
    due = <double><int32_t>(timestamp - s.first_timestamp)
    transit = <double><int64_t>(arrival - s.first_arrival) * m.clock_rate / 1e9 - due
    difference = transit - s.transit
    if difference < 0:
        difference = -difference
    if difference > BREAK_S * m.clock_rate:
        new_time_line(s, timestamp, arrival)
        return
    s.transit = transit
    s.jitter += (difference - s.jitter) / 16.0
    if transit * 1e9 / m.clock_rate > m.buffer_ns:
        s.discarded += 1
        L.count[C_RTP_DISCARDED] += 1


# -- where it comes from


cdef void follows(Loop *L, Stream *s, Address *source) noexcept nogil:
    """Ours goes there too, where it may."""
    if s.addressed and (same_host(source, &s.to) or permitted(L, source, &s.peer)):
        s.out = source[0]
        L.count[C_STREAMS_MOVED] += 1


cdef bint admits(Loop *L, Stream *s, const uint8_t *p, Address *source, uint64_t arrival) noexcept nogil:
    """Whether a packet is of this stream: the SDP in force wins, and another address has to prove itself."""
    cdef uint32_t ssrc = ssrc_of(p)
    cdef uint32_t sequence = (<uint32_t>p[2] << 8) | p[3]
    cdef bint known = s.latched and ssrc == s.theirs
    cdef bint named = same_address(source, &s.to) if s.addressed else not s.latched
    cdef int count
    cdef int64_t since
    if known and (named or s.told or s.received):
        if named:
            s.from_where.size = 0
            if s.addressed:
                s.out = s.to  # the SDP in force wins
        elif s.addressed and same_address(source, &s.out):
            s.from_where.size = 0
        elif 0 < ((sequence - s.highest) & 0xFFFF) < MOST_GAP:
            # It is taken in, so that the next one finds one more.
            if counted(s, ssrc, sequence, source, s.received + 1) >= GOES_ON:
                s.from_where.size = 0
                follows(L, s, source)
        return True
    count = counted(s, ssrc, sequence, source, s.received)
    if named:
        if s.latched and s.received and count < GOES_ON:
            return False  # one packet of another stream is a straggler
    else:
        since = s.last_arrival if s.last_arrival > s.described_at else s.described_at
        if count < PROOF or (since and <int64_t>arrival - since < GAP_NS):
            return False
    s.from_where.size = 0
    if s.latched and s.received:
        begin_run(s)
    s.latched = True
    s.theirs = ssrc
    if not named:
        follows(L, s, source)
    return True


cdef inline bint is_rtp(Media *m, const uint8_t *p, uint32_t n) noexcept nogil:
    """Version 2, and none of the packet types of RTCP (RFC 5761 section 4)."""
    return n >= RTP_HEADER and p[0] >> 6 == 2 and not 192 <= p[1] <= 223


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


cdef inline uint32_t ssrc_of(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[8] << 24) | (<uint32_t>p[9] << 16) | (<uint32_t>p[10] << 8) | p[11]


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
