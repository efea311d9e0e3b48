# What a stream of the load loop has received, as RFC 3550 accounts for it (appendix A.3 loss, A.8 jitter), the time in
# which audio was due, and the MOS of both by the E-model. No sockets: `rtp.reception` is the oracle of its counts.

cdef int64_t PAUSE_NS = 200000000
cdef int64_t GAP_NS = 500000000
cdef int64_t SKEW_NS = 200000000
cdef int64_t BEFORE_BYE_NS = 1000000000
cdef double BREAK_S = 5.0


# -- when audio is due


cdef void begin_run(Stream *s) noexcept nogil:
    """The next packet is the first of other numbers."""
    if s.begun:
        s.expected_before += <int64_t>s.highest - <int64_t>s.first + 1
    s.begun = False
    s.awaited = -1


cdef void expect(Stream *s, int64_t now) noexcept nogil:
    if not s.due:
        s.due = True
        s.due_since = s.settled = now


cdef void excuse(Stream *s, int64_t now, bint hung_up) noexcept nogil:
    """Audio is no longer due. `hung_up`: since the far end has ended the call."""
    cdef int64_t start, length
    if not s.due:
        return
    s.due = False
    start = s.settled if s.settled > s.last_arrival else s.last_arrival
    length = now - start if now > start else 0
    if hung_up and s.received and length < BEFORE_BYE_NS:
        now = now if now < start else start
        length = 0
    if now > s.due_since:
        s.due_ns += now - s.due_since
    if s.quiet:
        if length >= PAUSE_NS:
            s.dtx_ns += length
    elif length >= GAP_NS:
        s.gap_ns += length
        s.silences += 1


cdef inline double heard(Stream *s) noexcept nogil:
    """Percent of the due time that was in no gap."""
    return 100.0 - 100.0 * <double>s.gap_ns / <double>s.due_ns if s.due_ns else 100.0


# -- what came


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
            L.count[C_RTP_DUPLICATED] += 1
            return
        s.window |= 1ULL << behind
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


# -- how it is judged


cdef inline double expected_of(Stream *s) noexcept nogil:
    cdef int64_t count = s.expected_before
    if s.begun:
        count += <int64_t>s.highest - <int64_t>s.first + 1
    return <double>(count if count > 1 else 1)


cdef inline double silent_of(Media *m, Stream *s) noexcept nogil:
    """ns of gaps whose packets are not among the lost."""
    cdef double silent = <double>s.gap_ns - <double>s.missing * m.ptime * 1e9
    return silent if silent >= <double>GAP_NS else 0.0


cdef int rating(Media *m, Stream *s) noexcept nogil:
    """MOS in thousandths, from R without loss and Ie,eff (G.107 eqs. 7-29 and B-4). Gaps whose packets are not among
    the lost are time with R = 0, of which R is the mean."""
    cdef double expected = expected_of(s)
    cdef double lost = <double>(s.lost if s.lost > 0 else 0)
    cdef double discarded = <double>(<int64_t>s.discarded if <int64_t>s.discarded > 0 else 0)
    cdef double ppl, burst = 1.0, r, mos, silent, share
    ppl = 100.0 * (lost + discarded) / expected
    if ppl > 100.0:
        ppl = 100.0
    if s.gaps and lost > 0:
        burst = lost / <double>s.gaps * (1.0 - lost / expected)
        if burst < 1.0:
            burst = 1.0
    r = m.r_best - (m.ie + (95.0 - m.ie) * ppl / (ppl / burst + m.bpl))
    silent = silent_of(m, s)
    if s.due_ns and silent > 0.0 and r > 0.0:
        share = 1.0 - silent / <double>s.due_ns
        r *= share if share > 0.0 else 0.0
    if r <= 0.0:
        return 1000
    if r >= 100.0:
        return 4500
    mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6
    return <int>(mos * 1000.0) if mos > 1.0 else 1000  # never rounded up to a limit
