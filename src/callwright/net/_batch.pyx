"""Datagrams by batches: recvmmsg on many sockets in one step, with the kernel's time of arrival. Linux only.

What the kernel tells (addresses, control messages) is read within the sizes that it tells; what strangers
send is copied and not looked at.
"""

import os

if os.environ.get("CALLWRIGHT_PURE"):
    raise ImportError("CALLWRIGHT_PURE asks for the pure twin")

import errno as _errno
import socket as _socket

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
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
    #include <sys/socket.h>
    #include <sys/uio.h>
    #ifndef SO_RXQ_OVFL
    #define SO_RXQ_OVFL 40
    #endif
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
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    cmsghdr *CMSG_FIRSTHDR(msghdr *header)
    cmsghdr *CMSG_NXTHDR(msghdr *header, cmsghdr *message)
    unsigned char *CMSG_DATA(cmsghdr *message)
    size_t CMSG_LEN(size_t length)
    int recvmmsg(int fd, mmsghdr *messages, unsigned int count, int flags, timespec *timeout)
    int setsockopt(int fd, int level, int option, const void *value, unsigned int size)
    int SOL_SOCKET
    int SO_RXQ_OVFL
    int SO_TIMESTAMPNS
    int MSG_DONTWAIT
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

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef enum:
    VECTOR = 16  # datagrams of one call
    LARGEST = 65536
    NAME = 32
    CONTROL = 128
    EVENTS = 256

cdef struct Messages:
    mmsghdr headers[VECTOR]
    iovec vectors[VECTOR]
    char names[VECTOR][NAME]
    # Control messages need the alignment of their header.
    uint64_t controls[VECTOR][16]  # of CONTROL octets
    char *data


cdef Messages *new_messages() except NULL:
    cdef Messages *made = <Messages *>calloc(1, sizeof(Messages))
    if made == NULL:
        raise MemoryError
    made.data = <char *>malloc(VECTOR * LARGEST)  # touched only as far as datagrams are long
    if made.data == NULL:
        free(made)
        raise MemoryError
    return made


cdef void free_messages(Messages *messages) noexcept:
    if messages != NULL:
        free(messages.data)
        free(messages)


cdef int receive(Messages *messages, int fd) noexcept nogil:
    """How many datagrams came, or -1 with errno."""
    cdef int index
    cdef msghdr *header
    for index in range(VECTOR):
        messages.vectors[index].iov_base = messages.data + index * LARGEST
        messages.vectors[index].iov_len = LARGEST
        header = &messages.headers[index].msg_hdr
        header.msg_name = messages.names[index]
        header.msg_namelen = NAME
        header.msg_iov = &messages.vectors[index]
        header.msg_iovlen = 1
        header.msg_control = messages.controls[index]
        header.msg_controllen = CONTROL
        header.msg_flags = 0
    return recvmmsg(fd, messages.headers, VECTOR, MSG_DONTWAIT, NULL)


cdef int receive_past_error(Messages *messages, int fd, bint *told) noexcept nogil:
    """As `receive`, and once more where the kernel `told` an error of what was sent before: it does so instead of
    receiving, and packets may stand behind it."""
    cdef int count = receive(messages, fd)
    told[0] = count < 0 and errno != EAGAIN and errno != EINTR
    return receive(messages, fd) if told[0] else count


cdef object read_name(const char *name, unsigned int size):
    """(host, port) of a struct sockaddr_in or sockaddr_in6."""
    cdef const unsigned char *octets = <const unsigned char *>name
    cdef unsigned short family = 0
    cdef uint32_t scope = 0
    if size >= 8:
        memcpy(&family, octets, 2)
    if size >= 8 and family == AF_INET:
        return f"{octets[4]}.{octets[5]}.{octets[6]}.{octets[7]}", octets[2] << 8 | octets[3]
    if size >= 28 and family == AF_INET6:
        host = _socket.inet_ntop(_socket.AF_INET6, octets[8:24])
        memcpy(&scope, octets + 24, 4)
        if scope:
            host = f"{host}%{_socket.if_indextoname(scope)}"
        return host, octets[2] << 8 | octets[3]
    return "", 0


cdef class _Port:
    """A socket among others."""

    cdef int fd
    cdef object owner
    cdef bint marked
    cdef readonly uint32_t dropped
    cdef char last_name[NAME]
    cdef unsigned int last_size
    cdef object last_source


cdef class Reader:
    """Reads all datagrams of many sockets in one step."""

    cdef int epoll
    cdef Messages *messages
    cdef dict ports
    cdef double last_read

    def __cinit__(self):
        self.epoll = -1
        self.messages = new_messages()
        self.ports = {}
        self.last_read = 0.0
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.epoll >= 0:
            close(self.epoll)
        free_messages(self.messages)

    def close(self):
        """Lets all sockets go; they stay open."""
        self.ports.clear()
        if self.epoll >= 0:
            close(self.epoll)
            self.epoll = -1

    def add(self, int fd, object owner, bint marked):
        """Watches a bound UDP socket whose datagrams `owner` gets; `marked` comes back with them. Raises
        OSError."""
        cdef epoll_event event
        cdef int on = 1
        cdef _Port port = _Port.__new__(_Port)
        port.fd, port.owner, port.marked = fd, owner, marked
        setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &on, sizeof(on))
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on))
        memset(&event, 0, sizeof(event))
        event.events = EPOLLIN
        event.data.u64 = <uint64_t>fd
        if epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) < 0:
            raise OSError(errno, os.strerror(errno))
        self.ports[fd] = port

    def remove(self, int fd):
        """Watches it no more. Returns how many datagrams the kernel dropped since its buffer was full."""
        cdef epoll_event event
        cdef _Port port = self.ports.pop(fd, None)
        memset(&event, 0, sizeof(event))
        if self.epoll >= 0:
            epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &event)
        return 0 if port is None else port.dropped

    def read(self, double now, double wall_offset, int rounds):
        """Two lists: (owner, marked, [(data, source, arrival), …]) of all datagrams, at most `rounds` batches of
        a socket, in order of each socket; and (owner, marked) of sockets with an error to be fetched.

        `wall_offset` is wall time minus monotonic time. The arrival is monotonic, and lies between the last
        reading that left nothing behind and `now`.
        """
        cdef epoll_event events[EVENTS]
        cdef int ready, index, count, done
        cdef bint taken, told
        cdef list batches = []
        cdef dict errors = {}  # by socket
        cdef _Port port
        cdef double since = self.last_read
        if self.epoll < 0:
            raise ValueError("the reader is closed")
        for done in range(rounds):
            ready = epoll_wait(self.epoll, events, EVENTS, 0)
            taken = False
            for index in range(ready):
                port = self.ports.get(<int>events[index].data.u64)
                if port is None:
                    continue
                count = receive_past_error(self.messages, port.fd, &told)
                if told or events[index].events & EPOLLERR:
                    errors[port.fd] = (port.owner, port.marked)
                if told:
                    taken = True  # another error may have come in between: the next round asks again
                if count > 0:
                    batches.append(self.take(port, count, now, wall_offset, since))
                    taken = True
            # As many as are told at once may hide others: a socket counts as ready while its errors are unfetched.
            if not taken and ready < EVENTS:
                self.last_read = now
                break
        return batches, list(errors.values())

    def read_one(self, int fd, double now, double wall_offset, int rounds):
        """As `read`, of one socket only."""
        cdef int count, done
        cdef list batches = []
        cdef list errors = []
        cdef _Port port = self.ports.get(fd)
        if port is None:
            raise ValueError("the reader does not watch this socket")
        for done in range(rounds):
            count = receive(self.messages, fd)
            if count < 0:
                if errno not in (_errno.EAGAIN, _errno.EINTR):
                    errors.append((port.owner, port.marked))
                    continue  # the error is told once; packets may stand behind it
                break
            if count > 0:
                batches.append(self.take(port, count, now, wall_offset, self.last_read))
            if count < VECTOR:
                break
        return batches, errors

    cdef tuple take(self, _Port port, int count, double now, double wall_offset, double since):
        cdef list datagrams = []
        cdef int number
        for number in range(count):
            datagrams.append(self.take_one(port, number, now, wall_offset, since))
        return port.owner, port.marked, datagrams

    cdef tuple take_one(self, _Port port, int number, double now, double wall_offset, double since):
        cdef mmsghdr *message = &self.messages.headers[number]
        cdef msghdr *header = &message.msg_hdr
        cdef cmsghdr *control = CMSG_FIRSTHDR(header)
        cdef timespec stamp
        cdef double arrival = now
        cdef unsigned int size = header.msg_namelen
        while control != NULL:
            if control.cmsg_level == SOL_SOCKET:
                if control.cmsg_type == SO_TIMESTAMPNS and control.cmsg_len >= CMSG_LEN(sizeof(timespec)):
                    memcpy(&stamp, CMSG_DATA(control), sizeof(timespec))
                    arrival = stamp.tv_sec + stamp.tv_nsec * 1e-9 - wall_offset
                    # Within what is possible, even when somebody sets the wall clock in between.
                    arrival = now if arrival > now else since if arrival < since else arrival
                elif control.cmsg_type == SO_RXQ_OVFL and control.cmsg_len >= CMSG_LEN(sizeof(uint32_t)):
                    memcpy(&port.dropped, CMSG_DATA(control), sizeof(uint32_t))
            control = CMSG_NXTHDR(header, control)
        if size > NAME:
            size = 0
        if port.last_source is None or size != port.last_size or memcmp(
            self.messages.names[number], port.last_name, size
        ) != 0:
            memcpy(port.last_name, self.messages.names[number], size)
            port.last_size = size
            port.last_source = read_name(self.messages.names[number], size)
        cdef unsigned int length = message.msg_len
        if length > LARGEST:
            length = LARGEST
        data = PyBytes_FromStringAndSize(<char *>self.messages.vectors[number].iov_base, length)
        return data, port.last_source, arrival


MOST = VECTOR
"""Datagrams that `receive_from` takes at once; fewer mean that there are no more."""


def receive_from(int fd):
    """(data, (host, port)) of the datagrams that a socket has, at most `MOST`; [] when there is none. Raises
    OSError with what the network said of an earlier one."""
    cdef Messages *messages = _messages
    cdef int count = receive(messages, fd)
    cdef int number
    cdef list found = []
    if count < 0:
        if errno in (_errno.EAGAIN, _errno.EINTR):
            return found
        raise OSError(errno, os.strerror(errno))
    for number in range(count):
        found.append((
            PyBytes_FromStringAndSize(<char *>messages.vectors[number].iov_base, messages.headers[number].msg_len),
            read_name(messages.names[number], messages.headers[number].msg_hdr.msg_namelen),
        ))
    return found


cdef Messages *_messages = new_messages()
