# Jitter buffers as accounting, and the play-out order: the twin of `jitter_buffer` and `play_out`.

cdef enum:
    PLAYED = 0
    LATE = 1
    OVERFLOW = 2
    RESYNCHRONIZE = 25
    PEAK_PACKETS = 100
    FLOOR_PACKETS = 500

cdef double ROUNDING = 1e-6
cdef double DRIFT_WINDOW = 10.0
cdef double MAX_DRIFT = 0.002
cdef double MARGIN = 0.005
cdef Py_ssize_t MAX_PENDING = 1024
cdef Py_ssize_t MAX_UNDRAINED = 6000


@cython.final
cdef class FixedBuffer:
    cdef readonly str name
    cdef readonly double delay
    cdef readonly double capacity
    cdef readonly int64_t played
    cdef readonly int64_t late
    cdef readonly int64_t overflow
    cdef readonly int64_t resynchronized
    cdef bint _based
    cdef double _base
    cdef int _misses

    def __cinit__(self, str name, double delay):
        self.name = name
        self.delay = delay
        self.capacity = 2.0 * delay

    cpdef int judge(self, double transit, bint talkspurt) except -1:
        cdef double base, ahead
        if not self._based or talkspurt:
            self._based = True
            self._base = transit
        base = self._base
        ahead = base + self.delay - transit
        if -ROUNDING <= ahead and ahead <= self.capacity + ROUNDING:
            self.played += 1
            self._misses = 0
            return PLAYED
        self._misses += 1
        if ahead > 0.0 or self._misses >= RESYNCHRONIZE:
            self._base = transit
            self._misses = 0
            self.resynchronized += 1
        if ahead < 0.0:
            self.late += 1
            return LATE
        self.overflow += 1
        return OVERFLOW

    cpdef double hold(self, double transit) except? -1.0:
        cdef double base = self._base if self._based else transit
        cdef double held = base + self.delay - transit
        return held if held > 0.0 else 0.0

    @property
    def nominal_delay(self):
        return self.delay

    @property
    def max_delay(self):
        return self.delay


@cython.final
cdef class AdaptiveBuffer:
    cdef readonly str name
    cdef readonly double minimum
    cdef readonly double maximum
    cdef readonly int64_t played
    cdef readonly int64_t late
    cdef readonly int64_t overflow
    cdef double _delay
    cdef double _largest
    cdef double _delay_sum
    cdef int64_t _count
    cdef bint _floored
    cdef double _floor
    cdef double _floor_now
    cdef int _floor_packets
    cdef double _peak
    cdef int _peak_packets
    cdef int _misses

    def __cinit__(self):
        self.name = "adaptive"
        self.minimum, self.maximum = 0.02, 0.5
        self._delay = self._largest = 0.04

    cpdef int judge(self, double transit, bint talkspurt) except -1:
        cdef double excess, delay
        if not self._floored:
            self._floored = True
            self._floor = self._floor_now = transit
        elif transit < self._floor:
            self._floor = transit
        if transit < self._floor_now:
            self._floor_now = transit
        excess = transit - self._floor
        self._count += 1
        self._delay_sum += self._delay
        self.age(excess, transit)
        if excess <= self._delay + ROUNDING:
            self.played += 1
            self._misses = 0
            return PLAYED
        self.late += 1
        self._misses += 1
        delay = excess + MARGIN
        self._delay = delay if delay < self.maximum else self.maximum
        if self._delay > self._largest:
            self._largest = self._delay
        if self._misses >= RESYNCHRONIZE:
            self._floor = self._floor_now = transit
            self._misses = 0
        return LATE

    cdef void age(self, double excess, double transit) noexcept:
        cdef double wanted
        if excess > self._peak:
            self._peak = excess
        self._peak_packets += 1
        if self._peak_packets >= PEAK_PACKETS:
            wanted = self._peak + MARGIN
            if wanted < self.minimum:
                wanted = self.minimum
            if wanted < self._delay:
                self._delay -= (self._delay - wanted) / 4.0
            self._peak = 0.0
            self._peak_packets = 0
        self._floor_packets += 1
        if self._floor_packets >= FLOOR_PACKETS:
            self._floor = self._floor_now
            self._floor_now = transit
            self._floor_packets = 0

    cpdef double hold(self, double transit) except? -1.0:
        cdef double floor = self._floor if self._floored else transit
        cdef double held = floor + self._delay - transit
        return held if held > 0.0 else 0.0

    @property
    def nominal_delay(self):
        return self._delay_sum / self._count if self._count else self._delay

    @property
    def max_delay(self):
        return self._largest


@cython.final
cdef class Judges:
    """Of the three standard buffers."""

    cdef FixedBuffer _primary
    cdef FixedBuffer _second
    cdef AdaptiveBuffer _third
    cdef double _correction
    cdef bint _referred
    cdef double _reference
    cdef double _fastest
    cdef bint _windowed
    cdef double _window_end
    cdef double play_time  # of the packet judged last

    def __cinit__(self):
        self._primary = FixedBuffer("fixed_50", 0.05)
        self._second = FixedBuffer("fixed_200", 0.2)
        self._third = AdaptiveBuffer()

    @property
    def buffers(self):
        return [self._primary, self._second, self._third]

    cdef int put(self, double arrival, double media_time, bint talkspurt) except -1:
        cdef double raw = arrival - media_time
        cdef double transit
        cdef int mark = 0
        if not self._windowed:
            self._windowed = True
            self._window_end = arrival + DRIFT_WINDOW
            self._fastest = raw
        elif arrival >= self._window_end:
            self.follow_drift(raw, arrival)
        elif raw < self._fastest:
            self._fastest = raw
        transit = raw - self._correction
        if self._primary.judge(transit, talkspurt):
            mark |= 2
        if self._second.judge(transit, talkspurt):
            mark |= 4
        if self._third.judge(transit, talkspurt):
            mark |= 8
        self.play_time = arrival + self._primary.hold(transit)
        return mark

    def judge(self, double arrival, double media_time, bint talkspurt):
        cdef int mark = self.put(arrival, media_time, talkspurt)
        return mark, self.play_time

    cdef void follow_drift(self, double raw, double arrival) noexcept:
        cdef double error
        if not self._referred:
            self._referred = True
            self._reference = self._fastest
        else:
            error = self._fastest - self._correction - self._reference
            error = error if error < MAX_DRIFT else MAX_DRIFT
            self._correction += error if error > -MAX_DRIFT else -MAX_DRIFT
        self._fastest = raw
        self._window_end = arrival + DRIFT_WINDOW


@cython.final
cdef class PlayOut:
    cdef readonly int64_t undrained
    cdef dict _pending
    cdef list _played
    cdef bint _running  # `_next` counts
    cdef int64_t _next
    cdef bint _begun
    cdef double _position
    cdef double _frame
    cdef int64_t _type

    def __cinit__(self):
        self._pending, self._played = {}, []
        self._frame = 0.02

    cpdef push(self, int64_t number, double play_time, double media_time, object payload, int64_t payload_type):
        if not self._running:
            self._running = True
            self._next = number
        elif number < self._next:
            if self._begun:
                return
            self._next = number
        if len(self._pending) < MAX_PENDING:
            self._pending[number] = (play_time, media_time, payload, payload_type)

    cpdef begin(self):
        self.advance(0.0, True)
        self._running = False
        self._begun = False

    cpdef play(self, double now):
        if self._pending:
            self.advance(now, False)

    cpdef finish(self):
        self.advance(0.0, True)

    def next_due(self):
        if not self._pending:
            return None
        return self._pending[min(self._pending)][0]

    cdef advance(self, double now, bint everything):
        cdef dict pending = self._pending
        cdef int64_t number, missing
        cdef double play_time, media_time, step
        cdef tuple entry
        while pending and self._running:
            entry = pending.get(self._next)
            number = self._next
            if entry is None:
                number = min(pending)
                entry = pending[number]
            play_time, media_time = entry[0], entry[1]
            if not everything and play_time > now:
                return
            missing = number - self._next
            del pending[number]
            self._next = number + 1
            self._begun = True
            if missing > 0:
                self.add(new_tuple(_PlayedFrame, (self._position + self._frame, None, self._type, missing, play_time)))
            if entry[2] is None:
                continue
            step = media_time - self._position
            if missing == 0 and 0.0 < step <= 0.2:
                self._frame = step
            self._position = media_time
            self._type = entry[3]
            self.add(new_tuple(_PlayedFrame, (media_time, entry[2], entry[3], 0, play_time)))

    cdef add(self, frame):
        if len(self._played) >= MAX_UNDRAINED:
            self.undrained += len(self._played)
            self._played.clear()
        self._played.append(frame)

    def drain(self):
        played, self._played = self._played, []
        return played
