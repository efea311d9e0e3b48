# Sequence numbers, jitter, silences, what became of each number: the twin of `reception` and of the ledger of
# `loss_pattern`.

cdef enum:
    SIZE = 2048
    MASK = 2047
    SEEN = 1  # RECEIVED of the pure twin

cdef int64_t MAX_DROPOUT = 3000
cdef int64_t MAX_MISORDER = 500
cdef double PACKETS_PER_SECOND = 100.0
cdef int64_t MAX_JUMP = 32000
cdef int64_t MAX_EARLIER = 16
cdef int64_t DUPLICATE = -0x100001
cdef int64_t HELD = -0x100002
cdef int64_t RESTARTED = -0x100003
cdef double DISCONTINUITY = 5.0


@cython.final
cdef class Ledger:
    cdef uint8_t _marks[SIZE]
    cdef int64_t _first
    cdef int64_t _settled
    cdef int64_t _highest
    cdef list _patterns
    cdef tuple _tables

    def __cinit__(self, int buffers):
        memset(self._marks, 0, SIZE)
        self._highest = -1
        self._tables = _loss_pattern.tables(buffers)
        self._patterns = [_loss_pattern.RunLengths() for _ in range(buffers + 1)]

    cpdef begin(self, int64_t first):
        self.settle(self._highest + 1)
        self._first = self._settled = first
        self._highest = first - 1

    cpdef bint widen(self, int64_t first) except -1:
        if self._settled != self._first or self._highest - first >= SIZE - 1:
            return False
        self._first = self._settled = first
        return True

    cpdef open_to(self, int64_t number, int64_t window):
        cdef int64_t keep
        if number - self._settled >= SIZE - 1:
            keep = number - window
            self.settle(keep if keep < self._highest + 1 else self._highest + 1)
            if self._settled < keep:
                for pattern in self._patterns:
                    pattern.add(keep - self._settled, True)
                self._settled = keep
        self._highest = number

    cpdef mark(self, int64_t number, int mark):
        self._marks[number & MASK] = <uint8_t>mark

    cpdef bint seen(self, int64_t number) except -1:
        return number < self._settled or self._marks[number & MASK] != 0

    cdef settle(self, int64_t end):
        cdef int64_t start, stop
        while self._settled < end:
            start = self._settled & MASK
            stop = start + end - self._settled
            if stop > SIZE:
                stop = SIZE
            chunk = PyBytes_FromStringAndSize(<char *>self._marks + start, stop - start)
            memset(self._marks + start, 0, stop - start)
            self._settled += stop - start
            _loss_pattern.record(chunk, self._patterns, self._tables)

    def patterns(self):
        cdef list copies = [pattern.copy() for pattern in self._patterns]
        cdef int64_t number = self._settled
        cdef int64_t start, stop
        while number <= self._highest:
            start = number & MASK
            stop = start + self._highest + 1 - number
            if stop > SIZE:
                stop = SIZE
            chunk = PyBytes_FromStringAndSize(<char *>self._marks + start, stop - start)
            _loss_pattern.record(chunk, copies, self._tables)
            number += stop - start
        return [pattern.pattern() for pattern in copies]


@cython.final
cdef class SequenceCount:
    cdef readonly Ledger ledger
    cdef readonly int64_t highest
    cdef public int64_t packets
    cdef readonly int64_t duplicated
    cdef readonly int64_t reordered
    cdef readonly int64_t restarts
    cdef public int64_t stale
    cdef readonly int64_t step
    cdef int64_t _awaited
    cdef int64_t _base
    cdef bint _started
    cdef int64_t _unique
    cdef int64_t _earlier_expected

    def __cinit__(self, Ledger ledger not None):
        self.ledger = ledger
        self.highest = -1
        self._awaited = -1

    cpdef begin(self):
        if self._started:
            self._earlier_expected += self.highest - self._base + 1
        self._started = False
        self._awaited = -1

    cpdef int64_t receive(self, int64_t sequence, double elapsed) except? -1:
        cdef int64_t highest, ahead, number
        if not self._started:
            self._started = True
            self._base = self.highest = sequence
            self.ledger.begin(sequence)
            self.ledger.open_to(sequence, MAX_MISORDER)
            self.ledger.mark(sequence, SEEN)
            self.packets += 1
            self._unique += 1
            self.step = 1
            return sequence
        highest = self.highest
        ahead = (sequence - highest) & 0xFFFF
        if ahead == 1 or 0 < ahead < MAX_DROPOUT or self.plausible(ahead, elapsed):
            number = self.highest = highest + ahead
            self.step = ahead
            self.ledger.open_to(number, MAX_MISORDER)
        elif ahead == 0 or ahead >= 0x10000 - MAX_MISORDER:
            number = highest - ((0x10000 - ahead) & 0xFFFF)
            if number < self._base:
                if self.earlier(number):
                    self.step = 0
                    self.packets += 1
                    self._unique += 1
                    self.reordered += 1
                    return number
                self.packets += 1
                self.stale += 1
                return DUPLICATE
            if self.ledger.seen(number):
                self.packets += 1
                self.duplicated += 1
                return DUPLICATE
            self.reordered += 1
            self.step = 0
        elif sequence == self._awaited:
            self.begin()
            self.restarts += 1
            self.packets -= 1
            self.stale -= 1
            return RESTARTED
        else:
            self._awaited = (sequence + 1) & 0xFFFF
            self.packets += 1
            self.stale += 1
            return HELD
        self.packets += 1
        self._unique += 1
        self.ledger.mark(number, SEEN)
        self._awaited = -1
        return number

    cdef bint plausible(self, int64_t ahead, double elapsed) noexcept:
        cdef double limit = MAX_DROPOUT + PACKETS_PER_SECOND * elapsed
        return MAX_DROPOUT <= ahead and ahead < MAX_JUMP and ahead < limit and elapsed > 1.0

    cdef bint earlier(self, int64_t number) except -1:
        if self._base - number > MAX_EARLIER or not self.ledger.widen(number):
            return False
        self._base = number
        self.ledger.mark(number, SEEN)
        return True

    @property
    def fresh(self):
        return not self._started

    @property
    def expected(self):
        return self._earlier_expected + (self.highest - self._base + 1 if self._started else 0)

    @property
    def unique(self):
        return self._unique

    @property
    def lost(self):
        return self.expected - self._unique


@cython.final
cdef class ArrivalTiming:
    cdef readonly double arrival
    cdef readonly double media_time
    cdef readonly double jitter
    cdef readonly double mean_jitter
    cdef readonly double max_jitter
    cdef readonly bint measured
    cdef readonly int64_t jumps
    cdef readonly int64_t rate
    cdef bint _broken
    cdef int64_t _timestamp

    def __cinit__(self):
        self._broken = True

    cpdef discontinue(self, bint forget_jitter=False):
        self._broken = True
        if forget_jitter:
            self.jitter = 0.0

    cpdef skew(self, int64_t timestamp, double arrival, int64_t rate):
        cdef double step
        if self._broken or rate != self.rate:
            return None
        step = <double>(((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000) / <double>rate
        return arrival - self.arrival - step

    cpdef double receive(
        self, int64_t timestamp, double arrival, int64_t rate, bint marker, int64_t earlier
    ) except? -1.0:
        cdef double media_time, step, difference, jitter
        if self._broken or rate != self.rate:
            media_time = 0.0 if self.rate == 0 else self.media_time + (arrival - self.arrival)
            self._broken = False
            self.rate = rate
        else:
            step = <double>(((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000) / <double>rate
            difference = arrival - self.arrival - step
            if -DISCONTINUITY < difference < DISCONTINUITY:
                media_time = self.media_time + step
                jitter = self.jitter = self.jitter + (fabs(difference) - self.jitter) / 16.0
                self.measured = True
                if not marker:
                    self.mean_jitter += (jitter - self.mean_jitter) / <double>(earlier if earlier else 1)
                    if jitter > self.max_jitter:
                        self.max_jitter = jitter
            else:
                self.jumps += 1
                media_time = self.media_time + (arrival - self.arrival)
        self._timestamp = timestamp
        self.arrival = arrival
        self.media_time = media_time
        return media_time


@cython.final
cdef class SilenceWatch:
    cdef readonly double last
    cdef bint _begun
    cdef double _first

    @property
    def first(self):
        return self._first if self._begun else None

    cpdef double receive(self, double arrival) except? -1.0:
        cdef double elapsed
        if not self._begun:
            self._begun = True
            self._first = self.last = arrival
            return INFINITY
        elapsed = arrival - self.last
        if elapsed > 0.0:
            self.last = arrival
        return elapsed

    cpdef forget(self, double elapsed):
        if 0.0 < elapsed < INFINITY:
            self.last -= elapsed
