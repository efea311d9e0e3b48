# What the load loop reads of a SIP message. Every read is against an end: a Span never outlives its datagram,
# and no function here looks at an octet without having compared its position first.

cdef enum:
    M_OTHER = 0
    M_INVITE = 1
    M_ACK = 2
    M_BYE = 3
    M_CANCEL = 4
    M_OPTIONS = 5
    M_REGISTER = 6
    M_INFO = 7
    M_UPDATE = 8
    M_PRACK = 9

    X_UAC = 1
    X_UAS = 2

    X_SUPPORTED_100REL = 1
    X_REQUIRED_100REL = 2
    X_SUPPORTED_TIMER = 4
    X_REQUIRED_TIMER = 8
    X_ALLOW = 16            # there is one
    X_ALLOW_UPDATE = 32
    X_SESSION = 64          # Session-Expires

    MOST_VIAS = 8
    MOST_ROUTES = 8

cdef struct Span:
    const uint8_t *p
    uint32_t n

cdef struct Parsed:
    int status              # 0 in a request
    int method              # of the request, or of CSeq in a response
    uint32_t cseq
    int retry_after         # seconds, -1 without
    int vias                # header fields, not values
    int routes              # Record-Route fields
    Span uri
    Span call_id
    Span from_value
    Span to_value
    Span contact_value
    Span cseq_value
    Span via[MOST_VIAS]     # values as they came
    Span route[MOST_ROUTES]
    Span branch             # of the topmost Via
    Span sent_by            # of the topmost Via
    const uint8_t *rport    # behind it in the topmost Via, where it has no value yet; else NULL
    Span challenge          # WWW-Authenticate or Proxy-Authenticate
    bint proxy_challenge
    Span authorization
    Span rack
    Span unknown            # an option of Require that we do not know
    uint32_t rseq           # 0 without
    uint32_t session        # s of Session-Expires, 0 without
    uint32_t min_se
    uint32_t min_expires
    int refresher           # of it: X_UAC or X_UAS, 0 without
    int options             # X_ bits
    Span body
    Span whole              # the datagram


cdef inline uint8_t lower(uint8_t c) noexcept nogil:
    return c | 0x20 if 65 <= c <= 90 else c


cdef inline bint is_space(uint8_t c) noexcept nogil:
    return c == 32 or c == 9 or c == 13 or c == 10


cdef inline Span span(const uint8_t *p, const uint8_t *end) noexcept nogil:
    cdef Span s
    s.p = p
    s.n = <uint32_t>(end - p) if end > p else 0
    return s


cdef inline Span trimmed(const uint8_t *p, const uint8_t *end) noexcept nogil:
    while p < end and is_space(p[0]):
        p += 1
    while end > p and is_space((end - 1)[0]):
        end -= 1
    return span(p, end)


cdef bint same(Span s, const char *text, uint32_t n) noexcept nogil:
    """Whether the span is that text; `text` is in lower case, the span in any."""
    cdef uint32_t i
    if s.n != n:
        return False
    for i in range(n):
        if lower(s.p[i]) != <uint8_t>text[i]:
            return False
    return True


cdef int method_of(Span s) noexcept nogil:
    """Methods are case-sensitive (RFC 3261 section 7.1)."""
    if s.n == 6 and memcmp(s.p, <const char *>b"INVITE", 6) == 0:
        return M_INVITE
    if s.n == 3:
        if memcmp(s.p, <const char *>b"ACK", 3) == 0:
            return M_ACK
        if memcmp(s.p, <const char *>b"BYE", 3) == 0:
            return M_BYE
    if s.n == 6 and memcmp(s.p, <const char *>b"CANCEL", 6) == 0:
        return M_CANCEL
    if s.n == 7 and memcmp(s.p, <const char *>b"OPTIONS", 7) == 0:
        return M_OPTIONS
    if s.n == 8 and memcmp(s.p, <const char *>b"REGISTER", 8) == 0:
        return M_REGISTER
    if s.n == 4 and memcmp(s.p, <const char *>b"INFO", 4) == 0:
        return M_INFO
    if s.n == 6 and memcmp(s.p, <const char *>b"UPDATE", 6) == 0:
        return M_UPDATE
    if s.n == 5 and memcmp(s.p, <const char *>b"PRACK", 5) == 0:
        return M_PRACK
    return M_OTHER


cdef Span parameter(Span value, const char *name, uint32_t n) noexcept nogil:
    """The value of `;name=…` after the address, empty without; quotes and `<>` are passed over."""
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *start
    cdef bint quoted = False, angled = False
    cdef uint8_t c
    cdef uint32_t i
    while p < end:
        c = p[0]
        if quoted:
            if c == 92:  # backslash
                p += 1
            elif c == 34:
                quoted = False
        elif c == 34:
            quoted = True
        elif c == 60:
            angled = True
        elif c == 62:
            angled = False
        elif c == 44 and not angled:  # the next value of a list
            break
        elif c == 59 and not angled:
            p += 1
            while p < end and is_space(p[0]):
                p += 1
            i = 0
            while i < n and p < end and lower(p[0]) == <uint8_t>name[i]:
                i += 1
                p += 1
            if i == n:
                while p < end and is_space(p[0]):
                    p += 1
                if p < end and p[0] == 61:
                    p += 1
                    while p < end and is_space(p[0]):
                        p += 1
                    start = p
                    while p < end and p[0] != 59 and p[0] != 44 and p[0] != 62 and not is_space(p[0]):
                        p += 1
                    return span(start, p)
            continue
        p += 1
    return span(end, end)


cdef const uint8_t *bare_parameter(Span value, const char *name, uint32_t n) noexcept nogil:
    """Behind `;name` where it stands without a value, as rport does (RFC 3581 section 3); else NULL."""
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *behind
    cdef uint32_t i
    while p < end and p[0] != 44:
        if p[0] != 59:
            p += 1
            continue
        p += 1
        while p < end and is_space(p[0]):
            p += 1
        i = 0
        while i < n and p < end and lower(p[0]) == <uint8_t>name[i]:
            i += 1
            p += 1
        behind = p
        while p < end and is_space(p[0]):
            p += 1
        if i == n and (p >= end or p[0] == 59 or p[0] == 44):
            return behind
    return NULL


cdef Span address_uri(Span value) noexcept nogil:
    """The URI of a name-addr, or of an addr-spec without its header parameters."""
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *start
    cdef bint quoted = False
    while p < end:
        if quoted:
            if p[0] == 92:
                p += 1
            elif p[0] == 34:
                quoted = False
        elif p[0] == 34:
            quoted = True
        elif p[0] == 60:
            start = p + 1
            p = start
            while p < end and p[0] != 62:
                p += 1
            return span(start, p)
        p += 1
    p = value.p
    while p < end and p[0] != 59 and p[0] != 44:
        p += 1
    return trimmed(value.p, p)


cdef int number(Span s, uint32_t *out) noexcept nogil:
    """Leading decimal digits, at most nine of them; how many there were."""
    cdef uint32_t i = 0, v = 0
    while i < s.n and i < 10 and 48 <= s.p[i] <= 57:
        if i == 9:
            if v > 429496728:
                return 0
        v = v * 10 + (s.p[i] - 48)
        i += 1
    out[0] = v
    return <int>i


cdef bint hex8(const uint8_t *p, uint32_t *out) noexcept nogil:
    """Eight lower-case hex digits; the caller has compared that they are there."""
    cdef uint32_t v = 0
    cdef uint8_t c
    cdef int i
    for i in range(8):
        c = p[i]
        if 48 <= c <= 57:
            v = (v << 4) | (c - 48)
        elif 97 <= c <= 102:
            v = (v << 4) | (c - 87)
        else:
            return False
    out[0] = v
    return True


cdef inline Span tag_of(Span value) noexcept nogil:
    """The tag of From or To."""
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *p
    cdef const uint8_t *start
    # Most often the tag comes last, after the only ">".
    if value.n and memchr(value.p, 34, value.n) == NULL:
        p = <const uint8_t *>memchr(value.p, 62, value.n)
        if p == NULL:
            p = value.p
        elif end - p > 5 and memcmp(p + 1, <const char *>b";tag=", 5) == 0:
            start = p + 6
            p = start
            while p < end and p[0] != 59 and p[0] != 44 and not is_space(p[0]):
                p += 1
            return span(start, p)
        if memchr(p, 59, <size_t>(end - p)) == NULL:
            return span(end, end)
    return parameter(value, <const char *>b"tag", 3)


cdef inline const uint8_t *plain_branch(const uint8_t *p, const uint8_t *end) noexcept nogil:
    """Where `;branch=` begins in a Via that is written as nearly all are; NULL in one that has to be read with care."""
    while p < end:
        if p[0] == 34 or p[0] == 44 or p[0] == 60:
            return NULL
        if p[0] == 59 and end - p > 8:
            if memcmp(p, <const char *>b";branch=", 8) == 0:
                return NULL if is_space(p[8]) else p
            if p[1] == 98 or p[1] == 66 or is_space(p[1]):
                return NULL
        p += 1
    return NULL


cdef void top_via(Parsed *m, Span value) noexcept nogil:
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *start
    cdef const uint8_t *q = NULL
    if not m.status:
        m.rport = bare_parameter(value, <const char *>b"rport", 5)
    else:
        q = plain_branch(p, end)
    if q != NULL:
        start = q + 8
        q = start
        while q < end and q[0] != 59 and q[0] != 44 and q[0] != 62 and not is_space(q[0]):
            q += 1
        m.branch = span(start, q)
        return
    m.branch = parameter(value, <const char *>b"branch", 6)
    while p < end and not is_space(p[0]):  # SIP/2.0/UDP
        p += 1
    while p < end and is_space(p[0]):
        p += 1
    start = p
    while p < end and p[0] != 59 and p[0] != 44 and not is_space(p[0]):
        p += 1
    m.sent_by = span(start, p)


cdef inline void take_challenge(Parsed *m, Span value, bint proxy) noexcept nogil:
    """Of several, the topmost that can be answered (RFC 8760 section 2.4); the first where none can."""
    if m.challenge.n == 0 or (not answerable(m.challenge) and answerable(value)):
        m.challenge = value
        m.proxy_challenge = proxy


cdef void take_options(Parsed *m, Span value, bint required) noexcept nogil:
    """Supported or Require: which of its options are known, and one that is not."""
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *start
    cdef Span option
    while p < end:
        start = p
        while p < end and p[0] != 44:
            p += 1
        option = trimmed(start, p)
        p += 1
        if same(option, <const char *>b"100rel", 6):
            m.options |= X_REQUIRED_100REL if required else X_SUPPORTED_100REL
        elif same(option, <const char *>b"timer", 5):
            m.options |= X_REQUIRED_TIMER if required else X_SUPPORTED_TIMER
        elif required and option.n and m.unknown.n == 0:
            m.unknown = option


cdef void take_session(Parsed *m, Span value) noexcept nogil:
    """Session-Expires (RFC 4028 section 4)."""
    cdef Span role
    cdef uint32_t v = 0
    if number(value, &v):
        m.session = v
        m.options |= X_SESSION
        role = parameter(value, <const char *>b"refresher", 9)
        m.refresher = X_UAC if same(role, <const char *>b"uac", 3) else X_UAS if same(role, <const char *>b"uas", 3) else 0


cdef bint field(Parsed *m, Span name, Span value) noexcept nogil:
    """Takes in one header field; False when it makes the message one that nobody can answer."""
    cdef uint8_t c = lower(name.p[0])
    cdef uint32_t v = 0
    cdef int digits
    cdef uint32_t i
    if c == 118:  # v
        if name.n == 1 or same(name, <const char *>b"via", 3):
            if m.vias == 0:
                top_via(m, value)
            if m.vias < MOST_VIAS:
                m.via[m.vias] = value
                m.vias += 1
            else:
                return False
    elif c == 102:  # f
        if name.n == 1 or same(name, <const char *>b"from", 4):
            m.from_value = value
    elif c == 116:  # t
        if name.n == 1 or same(name, <const char *>b"to", 2):
            m.to_value = value
    elif c == 105:  # i
        if name.n == 1:
            m.call_id = value
    elif c == 109:  # m
        if name.n == 1:
            if m.contact_value.n == 0:
                m.contact_value = value
        elif same(name, <const char *>b"min-se", 6):
            if number(value, &v):
                m.min_se = v
        elif same(name, <const char *>b"min-expires", 11):
            if number(value, &v):
                m.min_expires = v
    elif c == 99:  # c
        if same(name, <const char *>b"call-id", 7):
            m.call_id = value
        elif same(name, <const char *>b"cseq", 4):
            digits = number(value, &v)
            if digits == 0:
                return False
            m.cseq = v
            m.cseq_value = value
            i = <uint32_t>digits
            while i < value.n and is_space(value.p[i]):
                i += 1
            digits = method_of(span(value.p + i, value.p + value.n))
            if m.status:
                m.method = digits
            elif m.method != digits:
                return False
        elif same(name, <const char *>b"contact", 7) and m.contact_value.n == 0:
            m.contact_value = value
    elif c == 114:  # r
        if same(name, <const char *>b"record-route", 12):
            if m.routes >= MOST_ROUTES:
                return False
            m.route[m.routes] = value
            m.routes += 1
        elif same(name, <const char *>b"retry-after", 11):
            if number(value, &v) and v < 100000000:
                m.retry_after = <int>v
        elif same(name, <const char *>b"require", 7):
            take_options(m, value, True)
        elif same(name, <const char *>b"rseq", 4):
            if number(value, &v):
                m.rseq = v
        elif same(name, <const char *>b"rack", 4):
            m.rack = value
    elif c == 115:  # s
        if same(name, <const char *>b"supported", 9):
            take_options(m, value, False)
        elif same(name, <const char *>b"session-expires", 15):
            take_session(m, value)
    elif c == 107:  # k
        if name.n == 1:
            take_options(m, value, False)
    elif c == 120:  # x
        if name.n == 1:
            take_session(m, value)
    elif c == 119:  # w
        if same(name, <const char *>b"www-authenticate", 16):
            take_challenge(m, value, False)
    elif c == 112:  # p
        if same(name, <const char *>b"proxy-authenticate", 18):
            take_challenge(m, value, True)
    elif c == 97:  # a
        if same(name, <const char *>b"authorization", 13):
            m.authorization = value
        elif same(name, <const char *>b"allow", 5):
            m.options |= X_ALLOW
            if memmem(value.p, value.n, <const char *>b"UPDATE", 6) != NULL:
                m.options |= X_ALLOW_UPDATE
    return True


cdef bint parse(const uint8_t *data, uint32_t size, Parsed *m) noexcept nogil:
    """Reads a datagram; False when it is not a SIP message that can be matched or answered."""
    cdef const uint8_t *p = data
    cdef const uint8_t *end = data + size
    cdef const uint8_t *line_end
    cdef const uint8_t *colon
    cdef const uint8_t *next_line
    cdef const uint8_t *q
    cdef Span name
    memset(m, 0, sizeof(Parsed))
    m.retry_after = -1
    m.whole = span(data, data + size)
    while p < end and (p[0] == 13 or p[0] == 10 or p[0] == 0):  # keep-alive before a message
        p += 1
    if end - p < 16:
        return False
    line_end = <const uint8_t *>memchr(p, 10, <size_t>(end - p))
    if line_end == NULL:
        return False
    q = line_end
    if q > p and (q - 1)[0] == 13:
        q -= 1
    if memcmp(p, <const char *>b"SIP/2.0 ", 8) == 0:
        if q - p < 11:
            return False
        if not (49 <= p[8] <= 54 and 48 <= p[9] <= 57 and 48 <= p[10] <= 57):
            return False
        if q - p > 11 and p[11] != 32:
            return False
        m.status = (p[8] - 48) * 100 + (p[9] - 48) * 10 + (p[10] - 48)
    else:
        if q - p < 12 or memcmp(q - 8, <const char *>b" SIP/2.0", 8) != 0:
            return False
        colon = <const uint8_t *>memchr(p, 32, <size_t>(q - p))
        if colon == NULL or colon >= q - 8:
            return False
        m.method = method_of(span(p, colon))
        m.uri = span(colon + 1, q - 8)
    p = line_end + 1
    while p < end:
        if p[0] == 10:
            m.body = span(p + 1, end)
            break
        if p[0] == 13 and p + 1 < end and p[1] == 10:
            m.body = span(p + 2, end)
            break
        line_end = <const uint8_t *>memchr(p, 10, <size_t>(end - p))
        if line_end == NULL:
            line_end = end
            next_line = end
        else:
            next_line = line_end + 1
            while next_line < end and (next_line[0] == 32 or next_line[0] == 9):  # folded
                line_end = <const uint8_t *>memchr(next_line, 10, <size_t>(end - next_line))
                if line_end == NULL:
                    line_end = end
                    next_line = end
                else:
                    next_line = line_end + 1
        colon = <const uint8_t *>memchr(p, 58, <size_t>(line_end - p))
        if colon == NULL:
            return False
        name = trimmed(p, colon)
        if name.n == 0:
            return False
        if not field(m, name, trimmed(colon + 1, line_end)):
            return False
        p = next_line
    return (
        m.vias > 0
        and m.call_id.n > 0
        and m.from_value.n > 0
        and m.to_value.n > 0
        and m.cseq_value.n > 0
    )
