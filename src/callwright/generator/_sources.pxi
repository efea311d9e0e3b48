# Which stream of the load loop a packet belongs to, and where ours goes after it.


cdef inline bint is_rtp(Media *m, const uint8_t *p, uint32_t n) noexcept nogil:
    """Version 2, and none of the packet types of RTCP (RFC 5761 section 4)."""
    return n >= RTP_HEADER and p[0] >> 6 == 2 and not 192 <= p[1] <= 223


cdef inline uint32_t ssrc_of(const uint8_t *p) noexcept nogil:
    return (<uint32_t>p[8] << 24) | (<uint32_t>p[9] << 16) | (<uint32_t>p[10] << 8) | p[11]


cdef bint same_host(Address *a, Address *b) noexcept nogil:
    if a.size != b.size:
        return False
    if a.size == sizeof(sockaddr_in):
        return memcmp(a.raw + 4, b.raw + 4, 4) == 0
    return memcmp(a.raw + 8, b.raw + 8, 16) == 0


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


cdef int counted(Stream *s, uint32_t ssrc, uint32_t sequence, Address *source, uint64_t received) noexcept nogil:
    """Packets in order of a candidate, this one included; none of the stream may come between them."""
    cdef uint32_t step = (sequence - s.from_number) & 0xFFFF
    if (
        s.from_where.size and same_address(&s.from_where, source) and s.from_ssrc == ssrc
        and s.from_received == s.received and 0 < step <= IN_ORDER
    ):
        s.from_count += 1
    else:
        s.from_where = source[0]
        s.from_ssrc = ssrc
        s.from_count = 1
    s.from_number = <uint16_t>sequence
    s.from_received = received
    return s.from_count


cdef void known_by(Media *m, uint32_t stream, uint32_t ssrc) noexcept nogil:
    """The SSRC of a stream on a shared port; 0 takes it out."""
    m.stream[stream].latched = True
    m.stream[stream].theirs = ssrc
    index_add(m.by_ssrc, m.mask, ssrc * 0x9E3779B1U, stream)


cdef void unknown(Media *m, uint32_t stream) noexcept nogil:
    if m.stream[stream].latched:
        index_drop(m.by_ssrc, m.mask, m.stream[stream].theirs * 0x9E3779B1U, stream)
        m.stream[stream].latched = False


cdef int stream_of(Media *m, uint32_t ssrc, uint32_t sequence, Address *source) noexcept nogil:
    """By SSRC and address; else the first of this address whose SSRC is not known yet; else by SSRC alone, since a
    port may change; else the only one of this address, whose SSRC is another than before."""
    cdef uint32_t h = ssrc * 0x9E3779B1U, i, found
    cdef Stream *s
    cdef int only = -1, elsewhere = -1
    for i in range(m.mask + 1):
        found = m.by_ssrc[(h + i) & m.mask]
        if found == 0:
            break
        if found == NONE:
            continue
        s = &m.stream[found - 1]
        if s.latched and s.theirs == ssrc:
            if same_address(&s.to, source):
                return <int>(found - 1)
            if elsewhere < 0:
                elsewhere = <int>(found - 1)
    h = address_hash(source)
    for i in range(m.mask + 1):
        found = m.by_address[(h + i) & m.mask]
        if found == 0:
            break
        if found == NONE:
            continue
        s = &m.stream[found - 1]
        if not same_address(&s.to, source):
            continue
        if not s.latched:
            known_by(m, found - 1, ssrc)
            return <int>(found - 1)
        only = <int>(found - 1) if only == -1 else -2
    if elsewhere >= 0:
        return elsewhere
    if only < 0:
        return -1
    s = &m.stream[only]
    if s.received:
        if counted(s, ssrc, sequence, source, s.received) < GOES_ON:
            return -1
        begin_run(s)
    s.from_where.size = 0
    unknown(m, <uint32_t>only)
    known_by(m, <uint32_t>only, ssrc)
    return only


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


cdef void redescribed(Stream *s, int64_t now) noexcept nogil:
    """The SDP has moved it: what comes from before is late, and its SSRC proves nothing any more."""
    s.described_at = now
    s.told = s.latched = False
    s.from_where.size = 0
    begin_run(s)
