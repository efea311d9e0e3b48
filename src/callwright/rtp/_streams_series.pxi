# Counts second by second, and our own error against the schedule: the twin of `series`.

cdef int64_t MAX_SECONDS = 86400
cdef int64_t LAST_BUCKET = 100000


@cython.final
cdef class SecondSeries:
    cdef bint _begun
    cdef double _origin
    cdef double _end
    cdef int64_t _index
    cdef list _packets
    cdef list _lost
    cdef list _discarded
    cdef list _jitter

    def __cinit__(self):
        self._index = -1
        self._end = float("-inf")
        self._packets, self._lost, self._discarded, self._jitter = [], [], [], []

    cpdef begin(self, double origin):
        if not self._begun:
            self._begun = True
            self._origin = origin
            self.roll(0)

    cdef advance(self, double now):
        cdef int64_t index
        if not self._begun:
            self.begin(now)
        elif self._index < MAX_SECONDS - 1:
            index = <int64_t>(now - self._origin)
            self.roll(index if index < MAX_SECONDS - 1 else MAX_SECONDS - 1)

    cdef roll(self, int64_t index):
        cdef int64_t missing = index + 1 - len(self._packets)
        if missing > 0:
            self._packets.extend([0] * missing)
            self._lost.extend([0] * missing)
            self._discarded.extend([0] * missing)
            self._jitter.extend([None] * missing)
        self._index = index
        self._end = self._origin + index + 1.0

    cpdef packet(self, double now):
        if now >= self._end:
            self.advance(now)
            if self._index == MAX_SECONDS - 1 and now >= self._end:
                return
        self._packets[self._index] = <int64_t>self._packets[self._index] + 1

    cpdef lose(self, int64_t count):
        if self._index >= 0:
            self._lost[self._index] = <int64_t>self._lost[self._index] + count

    cpdef find(self):
        cdef int64_t index = self._index
        cdef int64_t last = self._index - 20
        if last < -1:
            last = -1
        while index > last:
            if <int64_t>self._lost[index] > 0:
                self._lost[index] = <int64_t>self._lost[index] - 1
                return
            index -= 1

    cpdef discard(self):
        if self._index >= 0:
            self._discarded[self._index] = <int64_t>self._discarded[self._index] + 1

    cpdef jitter(self, double seconds):
        if self._index >= 0:
            before = self._jitter[self._index]
            if before is None or seconds > <double>before:
                self._jitter[self._index] = seconds

    def received(self):
        return _second_rows(self._packets, self._lost, self._discarded, self._jitter)

    def sent(self, reported):
        return _sent_rows(self._packets, reported)


@cython.final
cdef class ScheduleError:
    cdef dict _buckets
    cdef int64_t _count
    cdef double _sum
    cdef double _largest

    def __cinit__(self):
        self._buckets = {}

    cpdef add(self, double seconds):
        cdef int64_t bucket
        if seconds < 0.0:
            seconds = 0.0
        self._count += 1
        self._sum += seconds
        if seconds > self._largest:
            self._largest = seconds
        bucket = <int64_t>(seconds * 1e5) if seconds < 1.0 else LAST_BUCKET
        key = bucket
        self._buckets[key] = self._buckets.get(key, 0) + 1

    def percentile(self, double share):
        cdef double wanted = share * self._count
        cdef int64_t seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= wanted:
                return min((bucket + 1) * 1e-5, self._largest)
        return 0.0

    def report(self):
        return _SchedulingError(
            self._count,
            1000.0 * self._sum / self._count if self._count else 0.0,
            1000.0 * self.percentile(0.50),
            1000.0 * self.percentile(0.95),
            1000.0 * self.percentile(0.99),
            1000.0 * self._largest,
        )
