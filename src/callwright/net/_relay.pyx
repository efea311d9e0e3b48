"""The native relay: a thread without the GIL that passes datagrams on from one socket by another. Linux only.

What comes from the address that a way names goes to the address that it names, at once; Python hears of it later,
in batches, and measures it then. All else is held for Python, which decides. What strangers send is copied and not
looked at, but for the payload type of RTP.
"""

import os

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for the pure twin")

import socket as _socket

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

cdef extern from "<time.h>" nogil:
    struct timespec:
        long tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME
    int clock_gettime(int clock, timespec *at)

cdef extern from * nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <sys/epoll.h>
    #include <sys/eventfd.h>
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef SO_TIMESTAMPNS
    #define SO_TIMESTAMPNS 35
    #endif
    """
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    struct sockaddr:
        pass
    cmsghdr *CMSG_FIRSTHDR(msghdr *header)
    cmsghdr *CMSG_NXTHDR(msghdr *header, cmsghdr *message)
    unsigned char *CMSG_DATA(cmsghdr *message)
    size_t CMSG_LEN(size_t length)
    ssize_t recvmsg(int fd, msghdr *message, int flags)
    ssize_t sendto(int fd, const void *data, size_t size, int flags, const sockaddr *to, unsigned int length)
    int SOL_SOCKET
    int SO_TIMESTAMPNS
    int MSG_DONTWAIT
    int MSG_ERRQUEUE
    int AF_INET
    int AF_INET6
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data
    int EPOLLIN
    int EPOLLERR
    int EPOLL_CTL_ADD
    int EPOLL_CTL_DEL
    int EPOLL_CLOEXEC
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int most, int timeout)
    int EFD_CLOEXEC
    int EFD_NONBLOCK
    int eventfd(unsigned int value, int flags)
    int eventfd_write(int fd, uint64_t value)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

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
    int pthread_mutex_unlock(pthread_mutex_t *mutex)
    int pthread_condattr_init(pthread_condattr_t *attributes)
    int pthread_condattr_setclock(pthread_condattr_t *attributes, int clock)
    int pthread_cond_init(pthread_cond_t *condition, pthread_condattr_t *attributes)
    int pthread_cond_destroy(pthread_cond_t *condition)
    int pthread_cond_signal(pthread_cond_t *condition)
    int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const timespec *until)

cdef enum:
    LARGEST = 65536
    NAME = 32  # octets of the longest socket address
    EVENTS = 64  # sockets of one turn
    ERRORS = 32  # of one socket in one turn
    MOST_HELD = 256  # of one way, until Python takes them: further ones are dropped
    LEAST_ROOM = 65536
    MOST_ROOM = 67108864  # octets that wait for Python: some seconds of 1,500 calls

cdef int64_t SECOND = 1000000000
cdef uint64_t BELL = <uint64_t>-1

PASSED = 0
"""Went on."""
STAYED = 1
"""Was of the way, but there is nowhere to send it, or the kernel did not take it."""
HELD = 2
"""Waits for Python's decision."""

cdef enum:
    _PASSED = 0
    _STAYED = 1
    _HELD = 2

cdef struct Way:
    int fd  # -1: free
    int out
    uint32_t generation
    bint control  # RTCP
    unsigned int source_size  # 0: everything is held
    unsigned int target_size  # 0: nothing goes on
    char source[NAME]
    char target[NAME]
    uint64_t watch[2]  # payload types that Python wants to know of
    uint32_t held

cdef struct Entry:
    int64_t arrival  # ns
    uint32_t way
    uint32_t generation
    uint32_t size
    uint8_t kind
    uint8_t watched
    uint8_t name_size  # of what follows behind the data

cdef struct Store:
    char *octets
    size_t used
    size_t room


cdef inline int64_t clock_ns(int clock) noexcept nogil:
    cdef timespec at
    clock_gettime(clock, &at)
    return at.tv_sec * SECOND + at.tv_nsec


cdef inline double to_seconds(int64_t nanoseconds) noexcept nogil:
    return <double>(nanoseconds // SECOND) + <double>(nanoseconds % SECOND) * 1e-9


cdef inline bint alike(const char *one, unsigned int size, const char *other, unsigned int other_size) noexcept nogil:
    """Family, port and address are the same, whatever flow label and scope."""
    cdef unsigned short family = 0
    if size != other_size or size < 8 or memcmp(one, other, 4) != 0:
        return False
    memcpy(&family, one, 2)
    if family == AF_INET6:
        return size >= 28 and memcmp(one + 8, other + 8, 16) == 0
    return memcmp(one + 4, other + 4, 4) == 0


cdef object read_name(const char *name, unsigned int size):
    """(host, port) of a struct sockaddr_in or sockaddr_in6, as a Python socket gives it."""
    cdef const unsigned char *octets = <const unsigned char *>name
    cdef unsigned short family = 0
    if size >= 8:
        memcpy(&family, octets, 2)
    if size >= 8 and family == AF_INET:
        return f"{octets[4]}.{octets[5]}.{octets[6]}.{octets[7]}", octets[2] << 8 | octets[3]
    if size >= 28 and family == AF_INET6:
        return _socket.inet_ntop(_socket.AF_INET6, octets[8:24]), octets[2] << 8 | octets[3]
    return "", 0


cdef class Relay:
    """`run` is the body of its thread; all else may be called from others, `take` from one at a time."""

    cdef int epoll
    cdef int bell
    cdef bint closing
    cdef bint hurried  # something was held or watched since the last `take`
    cdef pthread_mutex_t mutex  # of all below, and of each packet from its reading to its leaving
    cdef pthread_cond_t came
    cdef Way *ways
    cdef uint32_t room
    cdef uint32_t generation
    cdef Store filling
    cdef Store taken
    cdef readonly uint64_t lost  # packets that went on and that Python will never hear of
    cdef list owners

    def __cinit__(self):
        cdef pthread_condattr_t attributes
        cdef epoll_event event
        self.epoll = self.bell = -1
        self.owners = []
        pthread_mutex_init(&self.mutex, NULL)
        pthread_condattr_init(&attributes)
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
        pthread_cond_init(&self.came, &attributes)
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        self.bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)
        if self.epoll < 0 or self.bell < 0:
            raise OSError(errno, os.strerror(errno))
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u64 = BELL
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.bell, &event) < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)
        if self.bell >= 0:
            close(self.bell)
        free(self.ways)
        free(self.filling.octets)
        free(self.taken.octets)
        pthread_cond_destroy(&self.came)
        pthread_mutex_destroy(&self.mutex)

    cdef void lock(self) noexcept:
        with nogil:
            pthread_mutex_lock(&self.mutex)

    cdef Way *way(self, uint64_t key) noexcept nogil:
        """NULL where it was removed."""
        cdef uint32_t index = <uint32_t>key
        cdef Way *found
        if index >= self.room:
            return NULL
        found = &self.ways[index]
        return found if found.fd >= 0 and found.generation == <uint32_t>(key >> 32) else NULL

    def close(self):
        """Ends `run`."""
        self.lock()
        self.closing = True
        eventfd_write(self.bell, 1)
        pthread_cond_signal(&self.came)
        pthread_mutex_unlock(&self.mutex)

    def add(self, int fd, int out, object owner, bint control):
        """A way from a bound UDP socket out by another; both outlive it. All that comes is held until `set`. The key
        of the way; raises OSError. `owner` comes back with each packet, `control`: RTCP."""
        cdef epoll_event event
        cdef Way *way
        cdef Way *grown
        cdef uint32_t index
        cdef uint64_t key
        cdef int failed = 0
        self.lock()
        try:
            for index in range(self.room):
                if self.ways[index].fd < 0 and self.owners[index] is None:
                    break
            else:
                index = self.room
                grown = <Way *>realloc(self.ways, (2 * index + 16) * sizeof(Way))
                if grown == NULL:
                    raise MemoryError
                self.ways, self.room = grown, 2 * index + 16
                for other in range(index, self.room):
                    self.ways[other].fd = -1
                    self.owners.append(None)
            way = &self.ways[index]
            memset(way, 0, sizeof(Way))
            self.generation += 1
            way.fd, way.out, way.generation, way.control = fd, out, self.generation, control
            self.owners[index] = owner
            key = <uint64_t>way.generation << 32 | index
            memset(&event, 0, sizeof(event))
            event.events = EPOLLIN
            event.data.u64 = key
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
                failed = errno
                way.fd = -1
                self.owners[index] = None
        finally:
            pthread_mutex_unlock(&self.mutex)
        if failed:
            raise OSError(failed, os.strerror(failed))
        return key

    def set(self, uint64_t key, bytes source not None, bytes target not None, uint64_t low, uint64_t high):
        """From now on what comes from `source` goes to `target`, each a struct sockaddr: an empty source has everything
        held, an empty target lets nothing go on. `low`, `high`: 64 payload types each that are told of as watched."""
        cdef Way *way
        if PyBytes_GET_SIZE(source) > NAME or PyBytes_GET_SIZE(target) > NAME:
            raise ValueError("a socket address that is too long")
        self.lock()
        way = self.way(key)
        if way != NULL:
            way.source_size, way.target_size = <unsigned int>PyBytes_GET_SIZE(source), <unsigned int>PyBytes_GET_SIZE(target)
            memcpy(way.source, PyBytes_AS_STRING(source), way.source_size)
            memcpy(way.target, PyBytes_AS_STRING(target), way.target_size)
            way.watch[0], way.watch[1] = low, high
        pthread_mutex_unlock(&self.mutex)

    def halt(self, uint64_t key):
        """Nothing more is read of this way; what has come can still be taken until `remove`."""
        cdef Way *way
        cdef epoll_event event
        memset(&event, 0, sizeof(event))
        self.lock()
        way = self.way(key)
        if way != NULL:
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, way.fd, &event)
            way.fd = -1
        pthread_mutex_unlock(&self.mutex)

    def remove(self, uint64_t key):
        """Its place is free for another."""
        cdef uint32_t index = <uint32_t>key
        self.halt(key)
        if index < self.room and self.ways[index].generation == <uint32_t>(key >> 32):
            self.owners[index] = None

    def wait(self, double seconds):
        """Until something is held or watched, or so long. False when it is closed."""
        cdef int64_t until = clock_ns(CLOCK_MONOTONIC) + <int64_t>(seconds * 1e9)
        cdef timespec moment
        moment.tv_sec, moment.tv_nsec = until // SECOND, until % SECOND
        with nogil:
            pthread_mutex_lock(&self.mutex)
            while not self.hurried and not self.closing:
                if pthread_cond_timedwait(&self.came, &self.mutex, &moment) != 0:
                    break
            pthread_mutex_unlock(&self.mutex)
        return not self.closing

    def take(self):
        """What has come since the last time: [(owner, kind, watched, [(data, source, arrival), …])], each with packets
        of one way in their order. What went on tells no source. RTCP comes by itself, in its order among all RTCP.
        `arrival` is monotonic seconds."""
        cdef Store swapped
        cdef Entry entry
        cdef size_t at = 0
        cdef const char *data
        cdef list runs = []
        cdef dict open_runs = {}
        cdef object owner, run, source
        cdef list batch
        self.lock()
        swapped = self.taken
        self.taken = self.filling
        self.filling = swapped
        self.filling.used = 0
        self.hurried = False
        while at < self.taken.used:  # while nobody takes a place of them
            memcpy(&entry, self.taken.octets + at, sizeof(Entry))
            self.ways[entry.way].held = 0
            at += sizeof(Entry) + entry.size + entry.name_size
        pthread_mutex_unlock(&self.mutex)
        at = 0
        while at < self.taken.used:
            memcpy(&entry, self.taken.octets + at, sizeof(Entry))
            at += sizeof(Entry)
            data = self.taken.octets + at
            at += entry.size + entry.name_size
            if self.ways[entry.way].generation != entry.generation:
                continue  # another has its place
            owner = self.owners[entry.way]
            if owner is None:
                continue
            source = read_name(data + entry.size, entry.name_size) if entry.name_size else None
            packet = PyBytes_FromStringAndSize(data, entry.size), source, to_seconds(entry.arrival)
            if entry.kind != _HELD and not self.ways[entry.way].control:
                run = open_runs.get(entry.way)
                if run is not None and run[1] == entry.kind and (run[2] or not entry.watched):
                    batch = run[3]
                    batch.append(packet)
                    continue
            run = owner, entry.kind, bool(entry.watched), [packet]
            runs.append(run)
            open_runs[entry.way] = run
        if self.taken.room > 16 * LEAST_ROOM and self.taken.used < self.taken.room // 16:
            free(self.taken.octets)
            self.taken.octets, self.taken.room = NULL, 0
        return runs

    def run(self):
        """Passes on until `close`."""
        cdef epoll_event events[EVENTS]
        cdef char *buffer = <char *>calloc(1, LARGEST)
        cdef int ready, index
        cdef int64_t offset
        cdef Way *way
        if buffer == NULL:
            raise MemoryError
        with nogil:
            while not self.closing:
                ready = epoll_wait(self.epoll, events, EVENTS, -1)
                offset = clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)
                for index in range(ready):
                    if events[index].data.u64 == BELL:
                        continue
                    pthread_mutex_lock(&self.mutex)
                    way = self.way(events[index].data.u64)
                    if way != NULL:
                        self.read(way, <uint32_t>events[index].data.u64, events[index].events, buffer, offset)
                    pthread_mutex_unlock(&self.mutex)
        free(buffer)

    cdef void read(self, Way *way, uint32_t index, uint32_t events, char *buffer, int64_t offset) noexcept nogil:
        """One datagram; where there are more, the kernel tells of the socket again."""
        cdef msghdr header
        cdef iovec vector
        cdef char name[NAME]
        cdef uint64_t control[32]
        cdef ssize_t size
        cdef int attempt
        cdef int64_t now
        cdef uint8_t kind, watched, payload_type
        if events & EPOLLERR:
            for attempt in range(ERRORS):  # else the socket would count as ready for ever
                memset(&header, 0, sizeof(header))
                vector.iov_base, vector.iov_len = buffer, LARGEST
                header.msg_iov, header.msg_iovlen = &vector, 1
                header.msg_control, header.msg_controllen = control, sizeof(control)
                if recvmsg(way.fd, &header, MSG_ERRQUEUE | MSG_DONTWAIT) < 0:
                    break
        if not events & EPOLLIN:
            return
        for attempt in range(2):  # the kernel tells an error of what was sent before instead of a datagram
            vector.iov_base, vector.iov_len = buffer, LARGEST
            header.msg_name, header.msg_namelen = name, NAME
            header.msg_iov, header.msg_iovlen = &vector, 1
            header.msg_control, header.msg_controllen, header.msg_flags = control, sizeof(control), 0
            size = recvmsg(way.fd, &header, MSG_DONTWAIT)
            if size >= 0:
                break
        if size < 0 or header.msg_namelen > NAME:
            return
        now = clock_ns(CLOCK_MONOTONIC)
        kind, watched = _HELD, 0
        if way.source_size and alike(name, header.msg_namelen, way.source, way.source_size):
            kind = _STAYED
            if way.target_size:
                for attempt in range(2):
                    if sendto(way.out, buffer, size, MSG_DONTWAIT, <sockaddr *>way.target, way.target_size) >= 0:
                        kind = _PASSED
                        break
            if size > 1 and not way.control:
                payload_type = <uint8_t>buffer[1] & 0x7F
                watched = way.watch[payload_type >> 6] >> (payload_type & 63) & 1
        elif way.held >= MOST_HELD:
            return
        else:
            way.held += 1
        self.keep(way, index, kind, watched, arrival_of(&header, now, offset), buffer, size, name, header.msg_namelen)

    cdef void keep(
        self,
        Way *way,
        uint32_t index,
        uint8_t kind,
        uint8_t watched,
        int64_t arrival,
        const char *data,
        ssize_t size,
        const char *name,
        unsigned int name_size,
    ) noexcept nogil:
        cdef Store *store = &self.filling
        cdef Entry entry
        cdef size_t need
        cdef size_t room
        cdef char *grown
        entry.arrival, entry.way, entry.generation, entry.size = arrival, index, way.generation, <uint32_t>size
        entry.kind, entry.watched = kind, watched
        entry.name_size = <uint8_t>name_size if kind == _HELD else 0
        need = sizeof(Entry) + entry.size + entry.name_size
        if store.used + need > store.room:
            room = 2 * store.room if store.room else LEAST_ROOM
            while room < store.used + need:
                room *= 2
            grown = <char *>realloc(store.octets, room) if room <= MOST_ROOM else NULL
            if grown == NULL:
                self.lost += 1
                return
            store.octets, store.room = grown, room
        memcpy(store.octets + store.used, &entry, sizeof(Entry))
        memcpy(store.octets + store.used + sizeof(Entry), data, entry.size)
        memcpy(store.octets + store.used + sizeof(Entry) + entry.size, name, entry.name_size)
        store.used += need
        if (kind == _HELD or watched) and not self.hurried:
            self.hurried = True
            pthread_cond_signal(&self.came)


cdef int64_t arrival_of(msghdr *header, int64_t now, int64_t offset) noexcept nogil:
    """By the kernel's stamp, unless somebody has set the clock."""
    cdef cmsghdr *control = CMSG_FIRSTHDR(header)
    cdef timespec stamp
    cdef int64_t arrival
    while control != NULL:
        if (
            control.cmsg_level == SOL_SOCKET
            and control.cmsg_type == SO_TIMESTAMPNS
            and control.cmsg_len >= CMSG_LEN(sizeof(timespec))
        ):
            memcpy(&stamp, CMSG_DATA(control), sizeof(timespec))
            arrival = stamp.tv_sec * SECOND + stamp.tv_nsec - offset
            return now if arrival > now or arrival < now - SECOND else arrival
        control = CMSG_NXTHDR(header, control)
    return now
