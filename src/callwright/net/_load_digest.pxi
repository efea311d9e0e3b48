# MD5 (RFC 1321), and digest authentication with it (RFC 2617, RFC 7616): what a registration of each of many
# accounts needs a second. Other hashes are answered by Python, which the engine tells the user about.

cdef uint32_t MD5_K[64]
cdef uint8_t MD5_R[64]
cdef const char *HEX = b"0123456789abcdef"


cdef void md5_prepare():
    import math

    shifts = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
    for i in range(64):
        MD5_K[i] = int(abs(math.sin(i + 1)) * 4294967296)
        MD5_R[i] = shifts[i // 16][i % 4]


cdef struct Md5:
    uint32_t h[4]
    uint64_t size
    uint8_t block[64]


cdef void md5_begin(Md5 *m) noexcept nogil:
    m.h[0] = 0x67452301
    m.h[1] = 0xEFCDAB89U
    m.h[2] = 0x98BADCFEU
    m.h[3] = 0x10325476
    m.size = 0


cdef inline void md5_step(
    uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d, uint32_t f, uint32_t word, int i
) noexcept nogil:
    f = a[0] + f + MD5_K[i] + word
    a[0] = d[0]
    d[0] = c[0]
    c[0] = b[0]
    b[0] = b[0] + ((f << MD5_R[i]) | (f >> (32 - MD5_R[i])))


cdef void md5_block(Md5 *m, const uint8_t *p) noexcept nogil:
    cdef uint32_t w[16]
    cdef uint32_t a = m.h[0], b = m.h[1], c = m.h[2], d = m.h[3]
    cdef int i
    memcpy(w, p, 64)  # little-endian machines only; md5 of others is Python's
    for i in range(16):
        md5_step(&a, &b, &c, &d, (b & c) | (~b & d), w[i], i)
    for i in range(16, 32):
        md5_step(&a, &b, &c, &d, (d & b) | (~d & c), w[(5 * i + 1) & 15], i)
    for i in range(32, 48):
        md5_step(&a, &b, &c, &d, b ^ c ^ d, w[(3 * i + 5) & 15], i)
    for i in range(48, 64):
        md5_step(&a, &b, &c, &d, c ^ (b | ~d), w[(7 * i) & 15], i)
    m.h[0] += a
    m.h[1] += b
    m.h[2] += c
    m.h[3] += d


cdef void md5_add(Md5 *m, const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint32_t have = <uint32_t>(m.size & 63), take
    m.size += n
    while n:
        take = 64 - have
        if take > n:
            take = n
        memcpy(m.block + have, p, take)
        have += take
        p += take
        n -= take
        if have == 64:
            md5_block(m, m.block)
            have = 0


cdef void md5_end(Md5 *m, uint8_t *hex_out) noexcept nogil:
    """Thirty-two hex digits into `hex_out`."""
    cdef uint64_t bits = m.size * 8
    cdef uint32_t have = <uint32_t>(m.size & 63)
    cdef int i
    cdef uint8_t octet
    m.block[have] = 0x80
    have += 1
    if have > 56:
        memset(m.block + have, 0, 64 - have)
        md5_block(m, m.block)
        have = 0
    memset(m.block + have, 0, 56 - have)
    memcpy(m.block + 56, &bits, 8)
    md5_block(m, m.block)
    for i in range(16):
        octet = <uint8_t>(m.h[i >> 2] >> (8 * (i & 3)))
        hex_out[2 * i] = HEX[octet >> 4]
        hex_out[2 * i + 1] = HEX[octet & 15]


cdef void md5_add_unquoted(Md5 *m, Span s) noexcept nogil:
    """The text that a quoted string means: a backslash only guards what follows it."""
    cdef uint32_t i = 0
    while i < s.n:
        if s.p[i] == 92 and i + 1 < s.n:
            i += 1
        md5_add(m, s.p + i, 1)
        i += 1


cdef Span directive(Span value, const char *name, uint32_t n) noexcept nogil:
    """A parameter of `Digest a="b", c=d`, quotes removed; empty without it."""
    cdef const uint8_t *p = value.p
    cdef const uint8_t *end = value.p + value.n
    cdef const uint8_t *word
    cdef const uint8_t *start
    cdef Span key, found
    while p < end and not is_space(p[0]):  # the scheme
        p += 1
    while p < end:
        while p < end and (is_space(p[0]) or p[0] == 44):
            p += 1
        word = p
        while p < end and p[0] != 61:
            p += 1
        key = trimmed(word, p)
        if p < end:
            p += 1
        while p < end and is_space(p[0]):
            p += 1
        if p < end and p[0] == 34:
            p += 1
            start = p
            while p < end and p[0] != 34:
                p += 2 if p[0] == 92 else 1
            if p > end:
                p = end
            found = span(start, p)
            if p < end:
                p += 1
        else:
            start = p
            while p < end and p[0] != 44:
                p += 1
            found = trimmed(start, p)
        if same(key, name, n):
            return found
        while p < end and p[0] != 44:
            p += 1
    return span(end, end)


cdef bint offers_auth(Span qop) noexcept nogil:
    """Whether `auth` is in the list of qop."""
    cdef const uint8_t *p = qop.p
    cdef const uint8_t *end = qop.p + qop.n
    cdef const uint8_t *start
    while p < end:
        start = p
        while p < end and p[0] != 44:
            p += 1
        if same(trimmed(start, p), <const char *>b"auth", 4):
            return True
        if p < end:
            p += 1
    return False


cdef bint write_authorization(
    Writer *w, Span challenge, bint proxy, Span user, Span password, Span method, Span uri, const uint8_t *cnonce
) noexcept nogil:
    """The (Proxy-)Authorization line that answers a challenge; `cnonce` has 16 octets. False if it cannot."""
    cdef Span realm, nonce, algorithm, qop, opaque
    cdef Md5 m
    cdef uint8_t ha1[32]
    cdef uint8_t ha2[32]
    cdef uint8_t response[32]
    if challenge.n < 8 or not same(span(challenge.p, challenge.p + 6), <const char *>b"digest", 6):
        return False
    realm = directive(challenge, <const char *>b"realm", 5)
    nonce = directive(challenge, <const char *>b"nonce", 5)
    algorithm = directive(challenge, <const char *>b"algorithm", 9)
    qop = directive(challenge, <const char *>b"qop", 3)
    opaque = directive(challenge, <const char *>b"opaque", 6)
    if nonce.n == 0 or (algorithm.n and not same(algorithm, <const char *>b"md5", 3)):
        return False
    if qop.n and not offers_auth(qop):
        return False
    md5_begin(&m)
    md5_add(&m, user.p, user.n)
    md5_add(&m, <const uint8_t *>b":", 1)
    md5_add_unquoted(&m, realm)
    md5_add(&m, <const uint8_t *>b":", 1)
    md5_add(&m, password.p, password.n)
    md5_end(&m, ha1)
    md5_begin(&m)
    md5_add(&m, method.p, method.n)
    md5_add(&m, <const uint8_t *>b":", 1)
    md5_add(&m, uri.p, uri.n)
    md5_end(&m, ha2)
    md5_begin(&m)
    md5_add(&m, ha1, 32)
    md5_add(&m, <const uint8_t *>b":", 1)
    md5_add(&m, nonce.p, nonce.n)
    if qop.n:
        md5_add(&m, <const uint8_t *>b":00000001:", 10)
        md5_add(&m, cnonce, 16)
        md5_add(&m, <const uint8_t *>b":auth:", 6)
    else:
        md5_add(&m, <const uint8_t *>b":", 1)
    md5_add(&m, ha2, 32)
    md5_end(&m, response)
    if proxy:
        put_text(w, b"Proxy-")
    put_text(w, b"Authorization: Digest username=\"")
    put(w, user.p, user.n)
    put_text(w, b"\", realm=\"")
    put(w, realm.p, realm.n)
    put_text(w, b"\", nonce=\"")
    put(w, nonce.p, nonce.n)
    put_text(w, b"\", uri=\"")
    put(w, uri.p, uri.n)
    put_text(w, b"\", response=\"")
    put(w, response, 32)
    put_text(w, b"\", algorithm=MD5")
    if qop.n:
        put_text(w, b", cnonce=\"")
        put(w, cnonce, 16)
        put_text(w, b"\", qop=auth, nc=00000001")
    if opaque.n:
        put_text(w, b", opaque=\"")
        put(w, opaque.p, opaque.n)
        put_text(w, b"\"")
    put_text(w, b"\r\n")
    return not w.overflow
