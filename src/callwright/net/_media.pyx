"""The native pacer: a thread without the GIL that sends prepared RTP packets when they are due.

Sessions make their packets some 100 ms and more ahead (`rtp.Session.prepare`); so a Python thread that is held up by
others, or by the collection of garbage, holds up nothing on the wire. Linux only.
"""

import os

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for the pure twin")

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memset

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int clock_gettime(int clock, timespec *at)

cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr:
        pass
    int MSG_DONTWAIT
    ssize_t send(int fd, const void *data, size_t size, int flags)
    ssize_t sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to, unsigned int length)

cdef extern from "<sched.h>" nogil:
    int sched_yield()

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    ctypedef struct pthread_condattr_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *mutex, void *attributes)
    int pthread_mutex_destroy(pthread_mutex_t *mutex)
    int pthread_mutex_lock(pthread_mutex_t *mutex)
    int pthread_mutex_trylock(pthread_mutex_t *mutex)
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_condattr_init(pthread_condattr_t *attributes)
    int pthread_condattr_setclock(pthread_condattr_t *attributes, int clock)
    int pthread_cond_init(pthread_cond_t *condition, pthread_condattr_t *attributes)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_cond_signal(pthread_cond_t *condition)
    int pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
    int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const timespec *until)

cdef enum:
    ROOM = 128  # packets of one stream that may be on their way
    NAME = 32  # octets of the longest socket address
    AT_ONCE = 32  # packets sent before others may have the lock

cdef int64_t SECOND = 1000000000

cdef struct Item:
    int64_t due
    int64_t left_at
    const char *data
    Py_ssize_t size
    int failed  # errno, 0 when it was sent

cdef struct Line:
    int fd
    int64_t patience  # so late, and the packet is not sent any more
    unsigned int head  # of what was put in
    unsigned int next  # to be sent
    unsigned int tail  # of what has not been told
    int64_t queued  # the due time under which it stands in the heap, -1 when it does not
    bint stalled
    unsigned int name_size
    char name[NAME]
    Item items[ROOM]

cdef struct Entry:
    int64_t due
    Line *line


cdef inline int64_t now_ns() noexcept nogil:
    cdef timespec at
    clock_gettime(CLOCK_MONOTONIC, &at)
    return at.tv_sec * SECOND + at.tv_nsec


cdef inline int64_t to_ns(double seconds) noexcept nogil:
    cdef int64_t whole = <int64_t>seconds
    return whole * SECOND + <int64_t>((seconds - whole) * 1e9 + 0.5)


cdef inline double to_seconds(int64_t nanoseconds) noexcept nogil:
    return <double>(nanoseconds // SECOND) + <double>(nanoseconds % SECOND) * 1e-9


def sum_codes(bytes payload not None, bytes squares not None, bytes values not None):
    """(sum of squares, sum of values) of octets that each stand for a sample, as those of G.711: `squares` and
    `values` are 256 numbers of 32 bits each, in the order of this machine."""
    cdef const unsigned char *octets = <const unsigned char *>PyBytes_AS_STRING(payload)
    cdef const int *square
    cdef const int *value
    cdef Py_ssize_t index
    cdef int64_t energy = 0
    cdef int64_t total = 0
    if PyBytes_GET_SIZE(squares) != 1024 or PyBytes_GET_SIZE(values) != 1024:
        raise ValueError("a table has 256 numbers")
    square, value = <const int *>PyBytes_AS_STRING(squares), <const int *>PyBytes_AS_STRING(values)
    for index in range(PyBytes_GET_SIZE(payload)):  # an octet is below 256: it is in the tables
        energy += square[octets[index]]
        total += value[octets[index]]
    return energy, total


def sum_frames(list frames not None, dict laws not None, double started, offset, double skew, double threshold):
    """Listens to frames of G.711: (media time, payload or None, payload type, lost, play time), one ptime each.

    `laws` has (squares, values, code of the largest value, code of the smallest) for a payload type that is
    G.711, None for another that counts too; the rest is passed over. A frame stands at `offset` plus its
    media time; `offset` is set anew by the play time since `started` where that is off by more than `skew`.
    A frame is active when the mean of its squares reaches `threshold`.

    Returns (offset, (samples, energy, active samples, active energy, clipped samples, sum of values),
    [(second, mean of squares)] with the loudest frame of each run of frames in one second, [(at, frame)] of
    what is no G.711).
    """
    cdef tuple law
    cdef object frame  # any tuple, a named one too
    cdef bytes payload, squares, values
    cdef const unsigned char *octets
    cdef const int *square
    cdef const int *value
    cdef Py_ssize_t index, count
    cdef double media_time, at, base = 0.0
    cdef bint known = offset is not None
    cdef int high, low, code
    cdef int64_t energy, second
    cdef int64_t samples = 0, total = 0, active = 0, active_total = 0, clipped = 0, values_total = 0
    cdef int64_t present = 0
    cdef bint begun = False
    cdef double loudest = -1.0, mean
    cdef list levels = []
    cdef list others = []
    if known:
        base = offset
    for frame in frames:
        if frame[2] not in laws:
            continue
        media_time = frame[0]
        at = <double>frame[4] - started
        if not known or base + media_time - at > skew or base + media_time - at < -skew:
            known = True
            base = at - media_time
        law = laws[frame[2]]
        payload = frame[1]
        if payload is None:
            continue
        if law is None:
            others.append((base + media_time, frame))
            continue
        squares, values, high, low = law
        if PyBytes_GET_SIZE(squares) != 1024 or PyBytes_GET_SIZE(values) != 1024:
            raise ValueError("a table has 256 numbers")
        octets = <const unsigned char *>PyBytes_AS_STRING(payload)
        square, value = <const int *>PyBytes_AS_STRING(squares), <const int *>PyBytes_AS_STRING(values)
        count = PyBytes_GET_SIZE(payload)
        energy = 0
        for index in range(count):  # an octet is below 256: it is in the tables
            code = octets[index]
            energy += square[code]
            values_total += value[code]
            clipped += code == high or code == low
        samples += count
        total += energy
        mean = <double>energy / count if count else 0.0
        if count and <double>energy >= threshold * count:
            active += count
            active_total += energy
        second = <int64_t>(base + media_time)
        if not begun or second != present:
            if begun:
                levels.append((present, loudest))
            begun, present, loudest = True, second, mean
        elif mean > loudest:
            loudest = mean
    if begun:
        levels.append((present, loudest))
    return base if known else None, (samples, total, active, active_total, clipped, values_total), levels, others


cdef class Pacer:
    """Sends what its streams have planned. `run` is the body of its thread; all else may be called from any
    one other thread. `alarm` is a socket that gets an octet when a stream stalls; it outlives `run`."""

    cdef int alarm
    cdef readonly unsigned int stalls  # so often has one stalled
    cdef pthread_mutex_t mutex
    cdef pthread_cond_t changed
    cdef bint closing
    cdef int waiting
    cdef int64_t sleeps_until
    cdef Entry *heap
    cdef Py_ssize_t count
    cdef Py_ssize_t room

    def __cinit__(self, int alarm=-1):
        cdef pthread_condattr_t attributes
        self.alarm = alarm
        pthread_mutex_init(&self.mutex, NULL)
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&self.changed, &attributes)
        self.room = 64
        self.heap = <Entry *>calloc(self.room, sizeof(Entry))
        if self.heap == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.heap)
        pthread_cond_destroy(&self.changed)
        pthread_mutex_destroy(&self.mutex)

    cdef void lock(self) noexcept:
        if pthread_mutex_trylock(&self.mutex) != 0:
            self.waiting += 1  # under the GIL
            with nogil:
                pthread_mutex_lock(&self.mutex)
            self.waiting -= 1

    cdef void unlock(self) noexcept:
        pthread_mutex_unlock(&self.mutex)

    def close(self):
        """Ends `run`; what is not sent by then is not sent."""
        self.lock()
        self.closing = True
        pthread_cond_signal(&self.changed)
        self.unlock()

    def run(self):
        """Sends until `close`."""
        with nogil:
            pthread_mutex_lock(&self.mutex)
            while not self.closing:
                self.send_due()
                self.sleep()
            pthread_mutex_unlock(&self.mutex)

    cdef void send_due(self) noexcept nogil:
        cdef int64_t now = now_ns()
        cdef int64_t due
        cdef int sent = 0
        cdef Line *line
        while self.count > 0 and self.heap[0].due <= now and not self.closing:
            due, line = self.heap[0].due, self.heap[0].line
            self.pop()
            if line.queued != due:
                continue  # moved since
            line.queued = -1
            now = self.send(line, now)
            sent += 1
            if sent % AT_ONCE == 0 and self.waiting > 0:
                pthread_mutex_unlock(&self.mutex)
                sched_yield()
                pthread_mutex_lock(&self.mutex)
                now = now_ns()

    cdef int64_t send(self, Line *line, int64_t now) noexcept nogil:
        """Sends what is due at `now`; the time behind it."""
        cdef Item *item
        cdef int attempt
        while line.next != line.head and not line.stalled:
            item = &line.items[line.next % ROOM]
            if item.due > now:
                break
            if now - item.due >= line.patience:
                line.stalled = True
                self.stalls += 1
                if self.alarm >= 0:
                    send(self.alarm, b"", 1, MSG_DONTWAIT)  # its one octet is the zero at the end
                return now
            item.failed = 0
            for attempt in range(2):
                # The first error is most likely an ICMP error about a packet before: the kernel tells it at
                # the next call, whichever that is.
                item.left_at = now
                if sendto(line.fd, item.data, item.size, MSG_DONTWAIT, <sockaddr *>line.name, line.name_size) >= 0:
                    item.failed = 0
                    break
                item.failed = errno
                if item.failed == EAGAIN:
                    break
            line.next += 1
            now = now_ns()
        if line.next != line.head and not line.stalled:
            self.queue(line)
        return now

    cdef void queue(self, Line *line) noexcept nogil:
        """Puts a line that has something to send in the heap, for its next packet."""
        cdef int64_t due = line.items[line.next % ROOM].due
        cdef Entry *grown
        cdef Py_ssize_t index, parent
        if line.queued == due:
            return
        if self.count == self.room:
            grown = <Entry *>realloc(self.heap, 2 * self.room * sizeof(Entry))
            if grown == NULL:
                line.stalled = True  # then Python sends it
                return
            self.heap, self.room = grown, 2 * self.room
        line.queued = due
        index = self.count
        self.count += 1
        while index > 0:
            parent = (index - 1) // 2
            if self.heap[parent].due <= due:
                break
            self.heap[index] = self.heap[parent]
            index = parent
        self.heap[index].due, self.heap[index].line = due, line

    cdef void pop(self) noexcept nogil:
        cdef Entry last
        cdef Py_ssize_t index = 0
        cdef Py_ssize_t child
        self.count -= 1
        last = self.heap[self.count]
        while True:
            child = 2 * index + 1
            if child >= self.count:
                break
            if child + 1 < self.count and self.heap[child + 1].due < self.heap[child].due:
                child += 1
            if last.due <= self.heap[child].due:
                break
            self.heap[index] = self.heap[child]
            index = child
        self.heap[index] = last

    cdef void forget(self, Line *line) noexcept nogil:
        """No entry names the line afterwards."""
        cdef Py_ssize_t index
        cdef Py_ssize_t kept = 0
        cdef Entry *old = self.heap
        cdef Py_ssize_t count = self.count
        cdef Py_ssize_t place, parent
        cdef Entry entry
        self.count = 0
        for index in range(count):  # built anew in place: an entry is never put behind where it was read
            entry = old[index]
            if entry.line == line:
                continue
            place = kept
            kept += 1
            while place > 0:
                parent = (place - 1) // 2
                if self.heap[parent].due <= entry.due:
                    break
                self.heap[place] = self.heap[parent]
                place = parent
            self.heap[place] = entry
        self.count = kept
        line.queued = -1

    cdef void sleep(self) noexcept nogil:
        cdef timespec until
        if self.closing:
            return
        if self.count == 0:
            self.sleeps_until = -1
            pthread_cond_wait(&self.changed, &self.mutex)
        else:
            self.sleeps_until = self.heap[0].due
            if self.sleeps_until > now_ns():
                until.tv_sec = self.sleeps_until // SECOND
                until.tv_nsec = self.sleeps_until % SECOND
                pthread_cond_timedwait(&self.changed, &self.mutex, &until)
        self.sleeps_until = 0


cdef class PacedStream:
    """The packets of one session on their way: first in, first out, to one address at a time.

    `descriptor` is a bound UDP socket that outlives `close`; `patience` is how many seconds late a packet may
    be sent at the most.
    """

    cdef Pacer pacer
    cdef Line *line
    cdef list held  # what the items point to
    cdef bint closed

    def __cinit__(self, Pacer pacer not None, int descriptor, double patience):
        self.pacer = pacer
        self.held = [None] * ROOM
        self.line = <Line *>calloc(1, sizeof(Line))
        if self.line == NULL:
            raise MemoryError
        self.line.fd = descriptor
        self.line.patience = to_ns(patience)
        self.line.queued = -1

    def __dealloc__(self):
        if self.line != NULL:
            if not self.closed:
                self.close()
            free(self.line)

    def plan(self, list packets not None, bytes name not None):
        """Adds (due, data, …) in order of due time, for the address `name`, a struct sockaddr. Returns how
        many found room. The address counts for all that has not left."""
        cdef Line *line = self.line
        cdef Py_ssize_t name_size = PyBytes_GET_SIZE(name)
        cdef Item *item
        cdef int added = 0
        cdef bytes data
        cdef double due
        if name_size > NAME:
            raise ValueError("a socket address that is too long")
        if self.closed:
            raise ValueError("the stream is closed")
        self.pacer.lock()
        try:
            memcpy(line.name, PyBytes_AS_STRING(name), name_size)
            line.name_size = <unsigned int>name_size
            for packet in packets:
                if line.head - line.tail >= ROOM:
                    break
                due, data = packet[0], packet[1]
                item = &line.items[line.head % ROOM]
                item.due, item.left_at, item.failed = to_ns(due), 0, 0
                item.data, item.size = PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data)
                self.held[line.head % ROOM] = data
                line.head += 1
                added += 1
            if line.next != line.head and not line.stalled:
                self.pacer.queue(line)
                if self.pacer.sleeps_until < 0 or (
                    self.pacer.sleeps_until > 0 and self.pacer.heap[0].due < self.pacer.sleeps_until
                ):
                    pthread_cond_signal(&self.pacer.changed)
        finally:
            self.pacer.unlock()
        return added

    @property
    def stalled(self):
        """The stream was so late that it stopped, and waits to be withdrawn."""
        return bool(self.line.stalled)

    def collect(self):
        """(times at which packets have left, errnos of those that the kernel did not take, whether the stream
        was so late that it stopped). Those that were not taken are among the times."""
        cdef Line *line = self.line
        cdef Item *item
        cdef list times = []
        cdef list errors = None
        self.pacer.lock()
        try:
            while line.tail != line.next:
                item = &line.items[line.tail % ROOM]
                times.append(to_seconds(item.left_at))
                if item.failed:
                    if errors is None:
                        errors = []
                    errors.append(item.failed)
                line.tail += 1
            return times, errors, line.stalled
        finally:
            self.pacer.unlock()

    def withdraw(self):
        """As `collect`, and what has not left does not."""
        cdef Line *line = self.line
        self.pacer.lock()
        line.head = line.next  # atomic with the collection, as only the pacer moves `next`
        line.queued = -1
        self.pacer.unlock()
        found = self.collect()
        self.pacer.lock()
        line.stalled = False
        self.pacer.unlock()
        return found

    def close(self):
        """The pacer forgets the stream."""
        if not self.closed:
            self.closed = True
            self.pacer.lock()
            self.pacer.forget(self.line)
            self.line.head = self.line.next
            self.pacer.unlock()
