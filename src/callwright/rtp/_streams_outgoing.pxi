# The stream that we send: the twin of `outgoing`.


@cython.final
cdef class _Slot:
    cdef int64_t number
    cdef double due
    cdef bytes packet
    cdef bytes payload
    cdef bint is_event
    cdef bint took_frame
    cdef bint marker
    cdef object digits


@cython.final
cdef class OutgoingStream:
    cdef readonly uint32_t ssrc
    cdef readonly int64_t first_sequence
    cdef public int payload_type
    cdef public object telephone_event
    cdef public bint sending
    cdef readonly int64_t packets
    cdef readonly int64_t octets
    cdef readonly int64_t event_packets
    cdef readonly int64_t skipped
    cdef public list frames
    cdef readonly ScheduleError schedule_error
    cdef readonly SecondSeries series
    cdef int64_t _sequence
    cdef int64_t _timestamp
    cdef double _anchor
    cdef int64_t _slot
    cdef bint _begun
    cdef double _started
    cdef int64_t _max_catch_up
    cdef bint _tap
    cdef bint _marker
    cdef object _source
    cdef object _next_frames
    cdef object _digits
    cdef object _ahead
    cdef object _returned
    cdef double _ptime
    cdef int64_t _ptime_ms
    cdef int64_t _samples
    cdef int64_t _clock_rate
    cdef bint _has_left
    cdef double _first_packet
    cdef double _last_packet

    def __cinit__(self, entropy, *, int64_t max_catch_up, bint tap):
        self.ssrc = int.from_bytes(entropy(4), "big")
        self.first_sequence = self._sequence = int.from_bytes(entropy(2), "big")
        self._timestamp = int.from_bytes(entropy(4), "big")
        self._max_catch_up = max_catch_up if max_catch_up > 1 else 1
        self._tap = tap
        self._marker = True
        self._ahead, self._returned = deque(), deque()
        self._ptime, self._ptime_ms, self._samples, self._clock_rate = 0.02, 20, 160, 8000
        self.frames = []
        self.schedule_error = ScheduleError()
        self.series = SecondSeries()

    @property
    def first_packet(self):
        return self._first_packet if self._has_left else None

    @property
    def last_packet(self):
        return self._last_packet if self._has_left else None

    def set_format(self, int payload_type, int64_t clock_rate, int64_t samples, int64_t ptime_ms, telephone_event):
        if not 10 <= ptime_ms <= 60 or samples < 1 or clock_rate < 1:
            raise ValueError(f"{samples} samples at {clock_rate} Hz each {ptime_ms} ms cannot be sent")
        if self._begun:
            self._timestamp = (self._timestamp + self._slot * self._samples) & 0xFFFFFFFF
            self._anchor += self._slot * self._ptime
            self._slot = 0
        if samples != self._samples or ptime_ms != self._ptime_ms:
            self._digits = None
        self._samples, self._ptime_ms, self._ptime = samples, ptime_ms, ptime_ms / 1000.0
        self._clock_rate = clock_rate
        self.payload_type = payload_type
        self.telephone_event = telephone_event

    def start(self, double now):
        self._begun = True
        self._anchor = self._started = now
        self.series.begin(now)

    def set_source(self, source, now):
        if now is not None:
            self.resume(now)
        if source is not self._source:
            self._returned.clear()
        self._source = source
        self._next_frames = getattr(source, "next_frames", None)

    def set_sending(self, bint sending, double now):
        if sending and not self.sending:
            self.resume(now)
        self.sending = sending

    def dial(self, digits, double now, int64_t tone_ms, int64_t pause_ms):
        if self.telephone_event is None:
            raise ValueError("the far end takes no telephone-event")
        if self._digits is None:
            self._digits = _EventSender(self._samples, self._ptime_ms, tone_ms, pause_ms)
        if not self.due_for_something():
            self.resume(now)
        self._digits.enqueue(digits, self._ptime_ms)

    cdef bint is_dialing(self) except -1:
        cdef _Slot slot
        if self._digits is None and not self._ahead:
            return False
        if self._digits is not None and self._digits.active:
            return True
        for slot in self._ahead:
            if slot.is_event:
                return True
        return False

    @property
    def dialing(self):
        return self.is_dialing()

    cdef bint due_for_something(self) except -1:
        if not self.sending or not self._begun:
            return False
        return self._source is not None or self.is_dialing()

    cdef resume(self, now):
        if not self._begun or self.due_for_something():
            return
        # On Python's own numbers: C divides floats in another way.
        anchor, ptime = self._anchor, self._ptime
        slot = -int(-(now - <object>anchor) // <object>ptime)
        if slot > self._slot:
            self._slot = slot
        self._marker = True

    cdef inline double due(self) noexcept:
        return self._anchor + <double>self._slot * self._ptime

    def next_due(self):
        return self.due() if self.due_for_something() else None

    def timestamp_at(self, double now):
        return (self._timestamp + round((now - self._anchor) * self._clock_rate)) & 0xFFFFFFFF

    def wake(self, double now):
        cdef list out = []
        cdef double due, ptime
        cdef int64_t behind
        cdef _Slot slot
        if not self.due_for_something():
            return out
        due = self.due()
        if now < due:
            return out
        ptime = self._ptime
        if now - due >= ptime * self._max_catch_up:
            behind = <int64_t>((now - due) / ptime) + 1 - self._max_catch_up
            self.schedule_error.add(now - due)
            self.skipped += behind
            self._slot += behind
            self._marker = True
            due = self.due()
        while due <= now:
            slot = self.make(due, False)
            if slot.packet is not None:
                out.append(slot.packet)
                self.count(slot, now)
            due = self.due()
        return out

    def prepare(self, double now, double until, Py_ssize_t most, destination):
        cdef list out = []
        cdef double due
        cdef int64_t wanted, room
        cdef _Slot slot
        if not self.due_for_something() or self.live:
            return out
        due = self.due()
        if due <= now:
            return out
        self.pass_over(now)
        if self._next_frames is not None and due < until:
            wanted = <int64_t>((until - due) / self._ptime) + 1
            room = most - len(self._ahead)
            wanted = (wanted if wanted < room else room) - len(self._returned)
            if wanted > 0:
                self._returned.extend(self._next_frames(wanted))
        while due < until and len(self._ahead) < most and self.due_for_something():
            slot = self.make(due, True)
            self._ahead.append(slot)
            if slot.packet is not None:
                out.append(new_tuple(_Prepared, (due, slot.packet, destination)))
            due = self.due()
        return out

    def settle(self, left):
        cdef double at
        cdef _Slot slot
        for at in left:
            slot = self._ahead.popleft()
            while slot.packet is None:
                slot = self._ahead.popleft()
            self.count(slot, at)

    def withdraw(self, double now):
        cdef _Slot slot
        cdef int64_t made = 0
        self.pass_over(now)
        if not self._ahead:
            return
        slot = self._ahead[0]
        self._slot, self._marker = slot.number, slot.marker
        if slot.digits is not None:
            self._digits = slot.digits
        while self._ahead:
            slot = self._ahead.pop()
            made += slot.packet is not None
            if slot.took_frame:
                self._returned.appendleft(slot.payload)
        self._sequence = (self._sequence - made) & 0xFFFF

    cdef pass_over(self, double now):
        cdef _Slot slot
        while self._ahead:
            slot = self._ahead[0]
            if slot.packet is not None or slot.due > now:
                return
            self._ahead.popleft()

    @property
    def live(self):
        return bool(getattr(self._source, "live", False))

    @property
    def prepared(self):
        return bool(self._ahead)

    cdef _Slot make(self, double due, bint undoable):
        cdef _Slot slot = _Slot.__new__(_Slot)
        cdef int64_t timestamp = (self._timestamp + self._slot * self._samples) & 0xFFFFFFFF
        cdef int payload_type = self.payload_type
        cdef bint marker = False
        cdef uint8_t *octets
        cdef Py_ssize_t size
        payload = None
        slot.number, slot.due, slot.marker = self._slot, due, self._marker
        self._slot += 1
        if self._digits is not None and self._digits.active:
            slot.digits = self._digits.copy() if undoable else None
            event = self._digits.next(timestamp)
            if event is not None and self.telephone_event is not None:
                timestamp, marker, payload = event
                payload_type = self.telephone_event
                slot.is_event = True
                self._marker = False
        if payload is None:
            if self._returned:
                payload = self._returned.popleft()
                slot.took_frame = True
            elif self._source is not None:
                payload = self._source.next_frame()
                slot.took_frame = True
            if payload is None:
                self._marker = True
                return slot
            marker = slot.marker
            self._marker = False
        slot.payload = payload if type(payload) is bytes else b"" + payload
        size = PyBytes_GET_SIZE(slot.payload)
        slot.packet = PyBytes_FromStringAndSize(NULL, HEADER + size)
        octets = <uint8_t *>PyBytes_AS_STRING(slot.packet)
        octets[0] = 0x80
        octets[1] = <uint8_t>(payload_type | 0x80 if marker else payload_type)
        octets[2], octets[3] = <uint8_t>(self._sequence >> 8), <uint8_t>self._sequence
        octets[4], octets[5] = <uint8_t>(timestamp >> 24), <uint8_t>(timestamp >> 16)
        octets[6], octets[7] = <uint8_t>(timestamp >> 8), <uint8_t>timestamp
        octets[8], octets[9] = <uint8_t>(self.ssrc >> 24), <uint8_t>(self.ssrc >> 16)
        octets[10], octets[11] = <uint8_t>(self.ssrc >> 8), <uint8_t>self.ssrc
        memcpy(octets + HEADER, PyBytes_AS_STRING(slot.payload), size)
        self._sequence = (self._sequence + 1) & 0xFFFF
        return slot

    cdef int count(self, _Slot slot, double now) except -1:
        cdef Py_ssize_t size = PyBytes_GET_SIZE(slot.payload)
        self.packets += 1
        self.octets += size
        if slot.is_event:
            self.event_packets += 1
        elif self._tap:
            if len(self.frames) >= MAX_UNDRAINED:
                self.frames.clear()
            self.frames.append(
                _SentFrame(slot.due - (self._started if self._begun else 0.0), slot.payload, self.payload_type, now)
            )
        if not self._has_left:
            self._has_left = True
            self._first_packet = now
        self._last_packet = now
        self.series.packet(now)
        self.schedule_error.add(now - slot.due)
        return 0
