# What the load loop reads of an SDP: the audio that is in use.

# What a side does with its audio (RFC 3264 section 5.1).
cdef enum:
    D_SENDRECV = 0
    D_SENDONLY = 1
    D_RECVONLY = 2
    D_INACTIVE = 3

cdef enum:                      # what an SDP promises
    P_NOTHING = 0
    P_SENDS = 1
    P_BOTH = 2

cdef struct Audio:
    Address to                  # its port is not in it
    uint32_t port
    uint32_t ssrc
    bint tells_ssrc
    int direction               # theirs
    bint encrypted              # RTP/SAVP and the like: no RTP that we send or take
    bint nowhere                # 0.0.0.0 or ::, the hold of RFC 2543


cdef Span sdp_line(Span body, uint32_t at, uint32_t *after) noexcept nogil:
    cdef uint32_t n = at
    while n < body.n and body.p[n] != 10:
        n += 1
    after[0] = n + 1
    return trimmed(body.p + at, body.p + n)


cdef bint sdp_address(Span line, Address *a) noexcept nogil:
    """`c=IN IP4 host`; the port of `a` stays."""
    cdef char host[64]
    cdef uint32_t n = 0
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    if line.n < 10:
        return False
    while n < 63 and 9 + n < line.n and line.p[9 + n] != 47 and not is_space(line.p[9 + n]):
        host[n] = <char>line.p[9 + n]
        n += 1
    host[n] = 0
    memset(&four, 0, sizeof(four))
    memset(&six, 0, sizeof(six))
    memset(a, 0, sizeof(Address))
    if inet_pton(AF_INET, host, &four.sin_addr) == 1:
        four.sin_family = <uint16_t>AF_INET
        memcpy(a.raw, &four, sizeof(four))
        a.size = sizeof(four)
        return True
    if inet_pton(AF_INET6, host, &six.sin6_addr) == 1:
        six.sin6_family = <uint16_t>AF_INET6
        memcpy(a.raw, &six, sizeof(six))
        a.size = sizeof(six)
        return True
    return False


cdef bint unspecified(Address *a) noexcept nogil:
    cdef uint8_t none[16]
    memset(none, 0, 16)
    if a.size == sizeof(sockaddr_in):
        return memcmp(a.raw + 4, none, 4) == 0
    return a.size != 0 and memcmp(a.raw + 8, none, 16) == 0


cdef inline int said_direction(Span line) noexcept nogil:
    """The direction of an `a=` line, -1 of any other."""
    if line.n != 10:
        return -1
    if memcmp(line.p, <const char *>b"a=sendrecv", 10) == 0:
        return D_SENDRECV
    if memcmp(line.p, <const char *>b"a=sendonly", 10) == 0:
        return D_SENDONLY
    if memcmp(line.p, <const char *>b"a=recvonly", 10) == 0:
        return D_RECVONLY
    if memcmp(line.p, <const char *>b"a=inactive", 10) == 0:
        return D_INACTIVE
    return -1


cdef inline int answer_to(int direction) noexcept nogil:
    """Our direction in the answer to theirs."""
    if direction == D_SENDONLY:
        return D_RECVONLY
    return D_SENDONLY if direction == D_RECVONLY else direction


cdef inline bint may_send(int ours) noexcept nogil:
    return ours == D_SENDRECV or ours == D_SENDONLY


cdef bint is_plain(Span rest) noexcept nogil:
    """Whether the transport of `port transport formats` is RTP/AVP, or that with feedback (RFC 4585)."""
    cdef const uint8_t *p = rest.p
    cdef const uint8_t *end = rest.p + rest.n
    cdef const uint8_t *start
    while p < end and not is_space(p[0]):
        p += 1
    while p < end and is_space(p[0]):
        p += 1
    start = p
    while p < end and not is_space(p[0]):
        p += 1
    return same(span(start, p), <const char *>b"rtp/avp", 7) or same(span(start, p), <const char *>b"rtp/avpf", 8)


cdef bint only_encrypted(Span body) noexcept nogil:
    cdef Audio a
    if body.n == 0:
        return False
    read_audio(body, &a)
    return a.port != 0 and a.encrypted


cdef void read_audio(Span body, Audio *a) noexcept nogil:
    """The first audio of an SDP that is in use, and the first at all where none is; lines of other parts of a body
    and of other m-lines say nothing of it."""
    cdef uint32_t at = 0, after = 0
    cdef Span line
    cdef Address session
    cdef int of_session = -1, said
    cdef bint in_audio = False, in_media = False
    memset(a, 0, sizeof(Audio))
    memset(&session, 0, sizeof(session))
    a.direction = -1
    while at < body.n:
        line = sdp_line(body, at, &after)
        at = after
        if line.n < 3 or line.p[1] != 61:
            continue
        if line.p[0] == 109:  # m
            if in_audio and a.port:
                break
            in_media = True
            in_audio = line.n > 8 and memcmp(line.p, <const char *>b"m=audio ", 8) == 0
            if in_audio:
                memset(a, 0, sizeof(Audio))
                a.direction = -1
                if number(span(line.p + 8, line.p + line.n), &a.port) == 0 or a.port > 65535:
                    a.port = 0
                a.encrypted = not is_plain(span(line.p + 8, line.p + line.n))
        elif line.p[0] == 99:  # c
            if in_audio:
                sdp_address(line, &a.to)
            elif not in_media:
                sdp_address(line, &session)
        elif line.p[0] == 97:  # a
            said = said_direction(line)
            if said >= 0:
                if in_audio:
                    a.direction = said
                elif not in_media:
                    of_session = said
            elif in_audio and not a.tells_ssrc and line.n > 7 and memcmp(line.p, <const char *>b"a=ssrc:", 7) == 0:
                a.tells_ssrc = number(span(line.p + 7, line.p + line.n), &a.ssrc) > 0
    if a.to.size == 0:
        a.to = session
    if a.direction < 0:
        a.direction = of_session if of_session >= 0 else D_SENDRECV
    a.nowhere = unspecified(&a.to)
    if a.nowhere:  # nobody may be sent anything there (RFC 3264 section 8.4)
        a.direction = D_SENDONLY if a.direction <= D_SENDONLY else D_INACTIVE


cdef int promises(Span body) noexcept nogil:
    """Whether the side of an SDP sends audio, and receives it as well. 0.0.0.0 is a hold as it was said before
    RFC 3264."""
    cdef Audio a
    read_audio(body, &a)
    if a.port == 0 or a.nowhere:
        return P_NOTHING
    if a.direction == D_SENDRECV:
        return P_BOTH
    return P_SENDS if a.direction == D_SENDONLY else P_NOTHING
