# The stream from the far end: the twin of `incoming`.

cdef enum:
    UNKNOWN = -1
    AUDIO = 0
    EVENT = 1
    NOISE = 2
    HEADER = 12
    PRIMARY_MARK = 2

cdef Py_ssize_t FORMER = 8
cdef double TALKSPURT = 0.2
cdef double EVENT_DELAY = 0.05
cdef double PAUSE = 0.2


cdef inline uint32_t read32(const uint8_t *octets) noexcept nogil:
    return <uint32_t>octets[0] << 24 | <uint32_t>octets[1] << 16 | <uint32_t>octets[2] << 8 | octets[3]


@cython.final
cdef class IncomingStream:
    cdef readonly SequenceCount sequence
    cdef readonly ArrivalTiming timing
    cdef readonly SilenceWatch silence
    cdef readonly object timeline
    cdef readonly bint quiet
    cdef readonly SecondSeries series
    cdef readonly PlayOut play_out
    cdef readonly Judges judges
    cdef readonly Ledger ledger
    cdef readonly object digits
    cdef readonly bint tap
    cdef readonly dict kinds
    cdef readonly int64_t audio_packets
    cdef readonly int64_t octets
    cdef public int64_t malformed
    cdef readonly int64_t unknown_payload
    cdef readonly int64_t comfort_noise
    cdef readonly int64_t event_packets
    cdef readonly int64_t ssrc_changes
    cdef readonly list new_digits
    cdef readonly list started
    cdef int64_t _ssrc
    cdef int64_t _payload_type
    cdef dict _former
    cdef object _candidate
    cdef object _held
    cdef signed char _kind_of[128]
    cdef int64_t _rate_of[128]
    cdef int64_t _least_of[128]

    def __cinit__(self, *, bint tap):
        self.judges = Judges()
        self.ledger = Ledger(3)
        self.kinds, self._former = {}, {}
        self._candidate = (-1, -1)
        self.sequence = SequenceCount(self.ledger)
        self.timing = ArrivalTiming()
        self.silence = SilenceWatch()
        self.timeline = _Timeline()
        self.series = SecondSeries()
        self.play_out = PlayOut()
        self.digits = _EventReceiver(8000)
        self.tap = tap
        self._ssrc = self._payload_type = -1
        self.new_digits, self.started = [], []
        memset(self._kind_of, 0xFF, sizeof(self._kind_of))

    @property
    def ssrc(self):
        return self._ssrc if self._ssrc >= 0 else None

    @property
    def payload_type(self):
        return self._payload_type if self._payload_type >= 0 else None

    def set_formats(self, payload_types):
        cdef int number
        cdef dict kinds = _received.kinds_of(payload_types, self.digits)
        memset(self._kind_of, 0xFF, sizeof(self._kind_of))
        for number, (kind, rate, _, least) in kinds.items():
            if 0 <= number < 128:
                self._kind_of[number], self._rate_of[number], self._least_of[number] = kind, rate, least
        self.kinds = kinds

    def knows(self, data):
        return _received.knows(data, self.kinds)

    def receive(self, bytes data not None, double arrival):
        self.take(data, arrival)

    def receive_run(self, list batch not None, Py_ssize_t index, source):
        """Packets of `batch` from `index` on, as long as they are of `source` and not RTCP. Returns the index
        of the first that was not taken; it also stops behind one of which something is to be told."""
        cdef bytes data
        cdef tuple item
        cdef const uint8_t *octets
        while index < len(batch):
            item = batch[index]
            data = item[0]
            if data is None or (item[1] is not source and item[1] != source):
                break
            if PyBytes_GET_SIZE(data) > 1:
                octets = <const uint8_t *>PyBytes_AS_STRING(data)
                if 192 <= octets[1] < 224:
                    break
            self.take(data, item[2])
            index += 1
            if self.started or self.new_digits:
                break
        return index

    cdef int take(self, bytes data, double arrival) except -1:
        cdef Py_ssize_t length = PyBytes_GET_SIZE(data)
        cdef const uint8_t *octets = <const uint8_t *>PyBytes_AS_STRING(data)
        cdef Py_ssize_t start = HEADER
        cdef Py_ssize_t end = length
        cdef int payload_type, kind
        cdef int64_t number16, timestamp, ssrc, number, step
        cdef double elapsed = 0.0
        cdef bint fresh
        if length < HEADER:
            self.malformed += 1
            return 0
        if octets[0] != 0x80:
            try:
                start, end = _payload_bounds(data)
            except _RtpError:
                self.malformed += 1
                return 0
        payload_type = octets[1] & 0x7F
        if 64 <= payload_type < 96:
            self.malformed += 1
            return 0
        number16 = octets[2] << 8 | octets[3]
        timestamp, ssrc = read32(octets + 4), read32(octets + 8)
        kind = self._kind_of[payload_type]
        if ssrc != self._ssrc:
            if kind == UNKNOWN:
                self.unknown_payload += 1
                return 0
            if not self.follow(ssrc, number16, payload_type, arrival):
                return 0
        if kind != UNKNOWN and end - start < self._least_of[payload_type]:
            kind = UNKNOWN
        if kind != UNKNOWN:
            elapsed = self.silence.receive(arrival)
        fresh = not self.sequence._started
        number = self.sequence.receive(number16, elapsed)
        if number <= DUPLICATE:
            self.silence.forget(elapsed)
            if number != DUPLICATE:
                self.implausible(number, data, arrival)
                return 0
        elif elapsed >= PAUSE:
            self.paused(elapsed, fresh, timestamp, arrival, self._rate_of[payload_type], octets[1])
        self.octets += end - start
        self.series.packet(arrival)
        if number == DUPLICATE:
            if kind == AUDIO:
                self.timing.receive(
                    timestamp, arrival, self._rate_of[payload_type], octets[1] & 0x80 != 0, self.sequence.packets - 1
                )
            return 0
        step = self.sequence.step
        if step > 1:
            self.series.lose(step - 1)
        elif step == 0:
            self.series.find()
        if kind == AUDIO:
            self.quiet = False
            self.audio(data, start, end, number, timestamp, arrival, octets[1], step > 0)
            return 0
        if kind == UNKNOWN:
            self.unknown_payload += 1
        elif kind == NOISE:
            self.comfort_noise += 1
            self.quiet = True
        else:
            self.event_packets += 1
            digit = self.digits.receive(timestamp, data[start:end], arrival)
            if digit is not None:
                self.new_digits.append((digit, arrival))
        if self.tap:
            self.play_out.push(number, arrival + EVENT_DELAY, 0.0, None, payload_type)
        return 0

    cdef paused(
        self, double elapsed, bint fresh, int64_t timestamp, double arrival, int64_t rate, int second
    ):
        cdef int64_t step = self.sequence.step
        cdef ArrivalTiming timing = self.timing
        cdef object skew = None
        if timing.arrival < arrival - elapsed + PAUSE:
            skew = timing.skew(timestamp, arrival, rate)
        cause = _cause_of(
            first=elapsed == INFINITY,
            quiet=self.quiet,
            fresh=fresh,
            new=step > 0,
            step=step,
            marker=second & 0x80 != 0,
            skew=skew,
            known=self.timeline.knows_dtx,
        )
        lost = step - 1 if step > 0 and not fresh else 0
        hole = step == 1 and _is_hole(cause, elapsed, skew)
        self.timeline.paused(arrival - elapsed, arrival, cause, lost, hole=hole)

    def expect(self, double now):
        self.timeline.expect(now)

    def excuse(self, double now):
        self.timeline.excuse(now, self.silence.last if self.silence._begun else None, self.quiet)

    cdef int audio(
        self, bytes data, Py_ssize_t start, Py_ssize_t end, int64_t number, int64_t timestamp, double arrival,
        int second, bint in_order
    ) except -1:
        cdef ArrivalTiming timing = self.timing
        cdef bint marker = second & 0x80 != 0
        cdef double before = timing.media_time
        cdef int payload_type = second & 0x7F
        cdef double media_time = timing.receive(
            timestamp, arrival, self._rate_of[payload_type], marker, self.sequence.packets - 1
        )
        cdef bint talkspurt = marker and in_order and media_time - before > TALKSPURT
        cdef int mark = self.judges.put(arrival, media_time, talkspurt)
        self.audio_packets += 1
        self._payload_type = payload_type
        if timing.measured:
            self.series.jitter(timing.jitter)
        if mark:
            self.ledger.mark(number, SEEN | mark)
            if mark & PRIMARY_MARK:
                self.series.discard()
                return 0
        if self.tap:
            self.play_out.push(number, self.judges.play_time, media_time, data[start:end], payload_type)
        return 0

    cdef bint follow(self, int64_t ssrc, int64_t number16, int64_t payload_type, double arrival) except -1:
        if self._ssrc >= 0:
            if ssrc in self._former and self._candidate != (ssrc, number16):
                self._candidate = (ssrc, (number16 + 1) & 0xFFFF)
                self.sequence.stale += 1
                self.sequence.packets += 1
                return False
            self.ssrc_changes += 1
            self._former[self._ssrc] = None
            if len(self._former) > FORMER:
                del self._former[next(iter(self._former))]
        self._former.pop(ssrc, None)
        self._candidate = (-1, -1)
        self._ssrc = ssrc
        self._held = None
        self.sequence.begin()
        self.timing.discontinue(True)
        self.play_out.begin()
        self.started.append((ssrc, payload_type, arrival))
        return True

    cdef int implausible(self, int64_t number, bytes data, double arrival) except -1:
        if number == HELD:
            self._held = (data, arrival)
            return 0
        held, self._held = self._held, None
        self.timing.discontinue()
        self.play_out.begin()
        if held is not None:
            self.take(held[0], held[1])
        self.take(data, arrival)
        return 0

    def resume(self):
        self.timing.discontinue()
        self.sequence.begin()
        self._held = None

    def report(self, source, double now):
        return _received.received_report(self, source, now)
