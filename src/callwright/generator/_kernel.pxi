# What the load loop asks of the kernel and of the C library.


cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <sys/socket.h>
    #include <sys/uio.h>
    #include <netinet/in.h>
    #include <arpa/inet.h>
    #include <poll.h>
    #include <time.h>
    #include <unistd.h>
    #include <sys/prctl.h>
    #include <sys/mman.h>
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #include <string.h>
    #include <linux/errqueue.h>
    """
    int __builtin_clzll(unsigned long long) nogil
    void __builtin_prefetch(const void *, int, int) noexcept nogil
    void *memmem(const void *, size_t, const void *, size_t) nogil
    ctypedef unsigned int socklen_t
    struct timespec:
        long tv_sec
        long tv_nsec
    int clock_gettime(int, timespec *) nogil
    int nanosleep(timespec *, timespec *) nogil
    int CLOCK_MONOTONIC
    int CLOCK_REALTIME
    int CLOCK_THREAD_CPUTIME_ID
    struct iovec:
        void *iov_base
        size_t iov_len
    struct msghdr:
        void *msg_name
        socklen_t msg_namelen
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
    cmsghdr *CMSG_FIRSTHDR(msghdr *) nogil
    cmsghdr *CMSG_NXTHDR(msghdr *, cmsghdr *) nogil
    unsigned char *CMSG_DATA(cmsghdr *) nogil
    size_t CMSG_SPACE(size_t) nogil
    size_t CMSG_LEN(size_t) nogil
    int SOL_UDP
    int UDP_SEGMENT
    int UDP_GRO
    struct sockaddr:
        pass
    struct in_addr:
        uint32_t s_addr
    struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    struct in6_addr:
        pass
    struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
    struct sock_extended_err:
        uint32_t ee_errno
        uint8_t ee_origin
    int sendmmsg(int, mmsghdr *, unsigned int, int) nogil
    int recvmmsg(int, mmsghdr *, unsigned int, int, timespec *) nogil
    ssize_t recvmsg(int, msghdr *, int) nogil
    ssize_t sendto(int, const void *, size_t, int, const sockaddr *, socklen_t) nogil
    int inet_pton(int, const char *, void *) nogil
    const char *inet_ntop(int, const void *, char *, socklen_t) nogil
    uint16_t htons(uint16_t) nogil
    uint16_t ntohs(uint16_t) nogil
    int socket(int, int, int) nogil
    int c_bind "bind"(int, const sockaddr *, socklen_t) nogil
    int c_close "close"(int) nogil
    int ftruncate(int, long) nogil
    void *mmap(void *, size_t, int, int, int, long) nogil
    int munmap(void *, size_t) nogil
    int PROT_READ
    int PROT_WRITE
    int MAP_SHARED
    int setsockopt(int, int, int, const void *, socklen_t) nogil
    ssize_t sendmsg(int, const msghdr *, int) nogil
    int prctl(int, unsigned long, unsigned long, unsigned long, unsigned long) nogil
    int PR_SET_TIMERSLACK
    int SOCK_DGRAM
    int SOCK_NONBLOCK
    int SOCK_CLOEXEC
    int SO_TIMESTAMPNS
    int SO_RCVBUF
    int AF_INET
    int AF_INET6
    int MSG_DONTWAIT
    int MSG_ERRQUEUE
    int MSG_TRUNC
    int SOL_SOCKET
    int SO_RXQ_OVFL
    struct pollfd:
        int fd
        short events
        short revents
    int c_poll "poll"(pollfd *, unsigned long, int) nogil
    int ppoll(pollfd *, unsigned long, const timespec *, const void *) nogil
    short POLLIN
    short POLLOUT
    short POLLERR

cdef extern from "<stdlib.h>" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef extern from "<sys/mman.h>" nogil:
    int madvise(void *p, size_t size, int advice)
    int MADV_HUGEPAGE
