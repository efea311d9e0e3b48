# RTP of the load loop: its streams, which are paced in forty phases of a packet time; opened and closed.

cdef enum:
    PHASES = 40                 # of a packet time: half a millisecond at 20 ms
    RTP_BATCH = 128
    RTP_ROOM = 2048
    GRO_BATCH = 32              # pieces taken by one recvmmsg where the kernel joins packets again
    GRO_ROOM = 65536
    DRAIN = 7                   # a mask: every so many packets the queue of a stream is read to its end
    RUN = 44                    # packets in one piece: 44 of 1,412 octets are below 64 KiB
    RTP_HEADER = 12
    LOWEST_PORT = 1024          # to which RTP is sent: ports below belong to services
    SILENT_MS = 200             # a stream that was open for less is not called silent
    LATE = 500                  # numbers behind the newest one that are late; further back they may be another run
    MOST_GAP = 3000             # MAX_DROPOUT of RFC 3550 appendix A.1
    PROOF = 5                   # packets in order by which an address that the SDP does not name proves itself
    GOES_ON = 2
    IN_ORDER = 100
    UNHEARD = 100000            # taken off the MOS of a stream of which too much was in gaps

# Written by the loop's thread alone, and read by no other.
cdef struct Stream:
    int fd
    uint32_t port
    uint32_t ssrc
    uint32_t theirs             # their SSRC
    bint open
    bint sending
    bint held                   # in its turn, without sending
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
    uint64_t received, discarded
    bint audible                # audio has come, not comfort noise alone
    int64_t lost                # by gaps; what comes late after all is taken off again
    uint64_t gaps
    uint32_t first, highest     # extended sequence numbers
    uint64_t window             # of the last 64 numbers, bit 0 the highest
    double jitter               # timestamp units
    double transit
    uint64_t first_arrival      # ns
    uint32_t first_timestamp
    bint begun                  # the next packet does not begin a run of numbers
    int32_t awaited             # -1: none
    int64_t expected_before     # of earlier runs
    # when audio is due, and what became of that time; ns of the kernel's clock
    bint promised
    bint talked
    bint due
    bint quiet
    int64_t due_since, settled, due_ns, gap_ns, dtx_ns, silences, missing
    int64_t last_arrival
    uint32_t last_timestamp
    # where it comes from
    Address out                 # where we send to
    Address peer                # who signals
    int64_t described_at
    Address from_where          # of a candidate; size 0: there is none
    uint32_t from_ssrc
    uint16_t from_number
    int from_count
    uint64_t from_received

# Written by the loop's thread alone, but for `notable_mos`, which the thread that holds the LoadLoop writes.
cdef struct Media:
    int notable_mos             # thousandths: streams as bad as this are noted
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
    double r_best, ie, bpl, ptime, min_heard
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


# -- when audio is due


cdef inline int64_t wall_ns() noexcept nogil:
    """Now, by the clock that stamps arrivals."""
    cdef timespec t
    clock_gettime(CLOCK_REALTIME, &t)
    return <int64_t>t.tv_sec * 1000000000LL + <int64_t>t.tv_nsec


cdef void media_promise(Loop *L, int stream, Span body, bint answered) noexcept nogil:
    """Whether audio is due after this offer or answer, and, once `answered`, from when on."""
    cdef Stream *s = &L.m.stream[stream]
    cdef int promised = promises(body)
    s.promised = promised == P_BOTH or (promised == P_SENDS and not s.talked)
    if promised == P_BOTH:
        s.talked = True
    if not answered:
        return
    if s.promised:
        expect(s, wall_ns())
    else:
        excuse(s, wall_ns(), False)


cdef void media_again(Loop *L, int stream, Span body, Address *peer) noexcept nogil:
    """A new offer within a call that is answered."""
    media_start(L, stream, body, peer)
    media_promise(L, stream, body, True)


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
    s.awaited = -1
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


cdef bint media_start(Loop *L, int stream, Span body, Address *peer) noexcept nogil:
    """Where the stream goes, and which SSRC to expect, by an SDP. False where RTP may not go."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef Audio audio
    cdef Address own
    cdef uint32_t ssrc
    cdef bint told, allowed, same
    read_audio(body, &audio)
    own = audio.to
    told = audio.tells_ssrc
    ssrc = audio.ssrc
    allowed = own.size != 0 and not audio.nowhere and audio.port >= LOWEST_PORT and own.size == m.local.size
    if allowed:
        (<sockaddr_in *>&own.raw[0]).sin_port = htons(<uint16_t>audio.port)
        allowed = same_host(&own, peer) or permitted(L, &own, peer)
    if not allowed:
        if told and not s.told and not s.latched:
            s.told = s.latched = True
            s.theirs = ssrc
        return False
    if m.shared and s.latched and s.addressed:
        index_drop(m.by_ssrc, m.mask, s.theirs * 0x9E3779B1U, <uint32_t>stream)
    same = s.addressed and same_address(&s.to, &own)
    if s.addressed and not same:
        redescribed(s, wall_ns())
    if told and not s.told:
        s.told = s.latched = True
        s.theirs = ssrc
    if s.addressed and m.shared:
        index_drop(m.by_address, m.mask, address_hash(&s.to), <uint32_t>stream)
    if not same:
        s.to = s.out = own
    s.peer = peer[0]
    s.addressed = True
    if m.shared:
        index_add(m.by_address, m.mask, address_hash(&s.to), <uint32_t>stream)
        if s.latched:
            index_add(m.by_ssrc, m.mask, s.theirs * 0x9E3779B1U, <uint32_t>stream)
    return True


cdef void media_direct(Loop *L, int stream, int ours) noexcept nogil:
    """Sends from now on, or only receives, as our direction has it; a stream keeps its turn while it is held."""
    cdef Stream *s = &L.m.stream[stream]
    s.held = not may_send(ours)
    media_send(L, stream)
    if ours == D_SENDONLY or ours == D_INACTIVE:
        s.began = 0  # nothing is to come, so its silence says nothing
    elif s.began == 0:
        s.began = L.now


cdef void media_send(Loop *L, int stream) noexcept nogil:
    """The call is answered: begins to send, in the phase with the fewest streams."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef int i, best = 0
    if s.promised:
        expect(s, wall_ns())
    if s.sending or not (s.addressed or s.held):
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


cdef void media_stop(Loop *L, int stream, bint hung_up) noexcept nogil:
    """The call ends: sends no more; what comes is still counted, and due no longer. `hung_up`: by the far end."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    excuse(s, wall_ns(), hung_up)
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


cdef int media_close(Loop *L, int stream, bint hung_up) noexcept nogil:
    """The end of a stream: its MOS in thousandths, 0 when it was silent, -1 when it was too short to say, and UNHEARD
    less when too much of it was in gaps. `hung_up`: by the far end."""
    cdef Media *m = L.m
    cdef Stream *s = &m.stream[stream]
    cdef int mos = -1
    cdef double expected, lost, missing
    if not m.shared:
        receive_stream(L, s, True)
    media_stop(L, stream, hung_up)
    if s.due_ns:
        record(L, H_UNHEARD, <uint64_t>(100.0 * (100.0 - heard(s))))
        L.count[C_RTP_GAPS] += <uint64_t>s.silences
        L.count[C_RTP_DUE_MS] += <uint64_t>(s.due_ns // 1000000)
        L.count[C_RTP_GAP_MS] += <uint64_t>(s.gap_ns // 1000000)
        L.count[C_RTP_DTX_MS] += <uint64_t>(s.dtx_ns // 1000000)
    if s.audible:
        mos = rating(m, s)
        expected = expected_of(s)
        lost = <double>(s.lost if s.lost > 0 else 0)
        record_mos(L, mos)
        record(L, H_JITTER, <uint64_t>(s.jitter / m.clock_rate * 1e6))
        missing = <double><int64_t>(silent_of(m, s) / (m.ptime * 1e9))
        record(L, H_LOSS, <uint64_t>(10000.0 * (lost + missing) / (expected + missing)))
        L.count[C_RTP_LOST] += <uint64_t>(s.lost if s.lost > 0 else 0)
        L.count[C_STREAMS_ENDED] += 1
        if s.due_ns and heard(s) < m.min_heard:
            mos -= UNHEARD
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
