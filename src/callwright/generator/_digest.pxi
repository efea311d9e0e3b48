# Digest authentication (RFC 7616, RFC 8760) with the hashes that it names: MD5 (RFC 1321), SHA-256 and SHA-512/256
# (FIPS 180-4), so that each of many accounts can register within the loop. The twin is `load_digest`.

cdef enum:
    A_NONE = 0
    A_MD5 = 1
    A_SHA_256 = 2
    A_SHA_512_256 = 3

cdef uint32_t MD5_K[64]
cdef uint8_t MD5_R[64]
cdef uint64_t SHA_K[80]         # of SHA-512; those of SHA-256 are the upper halves of the first 64
cdef uint32_t SHA_256_H[8]
cdef uint64_t SHA_512_256_H[8]
cdef const char *HEX = b"0123456789abcdef"

cdef struct Hash:
    int algorithm
    uint32_t h[8]               # of MD5 (four) and SHA-256
    uint64_t w[8]               # of SHA-512/256
    uint64_t size
    uint8_t block[128]


cdef void digest_prepare():
    """The constants of the hashes, as their definitions give them."""
    import math

    cdef Hash m
    shifts = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
    for i in range(64):
        MD5_K[i] = int(abs(math.sin(i + 1)) * 4294967296)
        MD5_R[i] = shifts[i // 16][i % 4]
    primes = [n for n in range(2, 410) if all(n % d for d in range(2, n))][:80]
    for i, prime in enumerate(primes):
        # The first 64 bits of the fractional part of the cube root (FIPS 180-4 section 4.2.3).
        low, high = 0, 1 << 68
        while high - low > 1:
            root = (low + high) // 2
            low, high = (root, high) if root**3 <= prime << 192 else (low, root)
        SHA_K[i] = low & 0xFFFFFFFFFFFFFFFF
    memset(&m, 0, sizeof(m))
    m.algorithm = A_SHA_512_256
    for i in range(8):
        # The square roots (5.3.3, 5.3.5), and the values of SHA-512/256 made of them (5.3.6).
        root = math.isqrt(primes[i] << 128) & 0xFFFFFFFFFFFFFFFF
        SHA_256_H[i] = root >> 32
        m.w[i] = root ^ 0xA5A5A5A5A5A5A5A5
    hash_add(&m, <const uint8_t *>b"SHA-512/256", 11)
    hash_close(&m)
    for i in range(8):
        SHA_512_256_H[i] = m.w[i]


cdef void hash_begin(Hash *m, int algorithm) noexcept nogil:
    m.algorithm = algorithm
    m.size = 0
    if algorithm == A_SHA_512_256:
        memcpy(m.w, SHA_512_256_H, sizeof(SHA_512_256_H))
    elif algorithm == A_SHA_256:
        memcpy(m.h, SHA_256_H, sizeof(SHA_256_H))
    else:
        m.h[0] = 0x67452301
        m.h[1] = 0xEFCDAB89U
        m.h[2] = 0x98BADCFEU
        m.h[3] = 0x10325476


cdef inline void md5_step(
    uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d, uint32_t f, uint32_t word, int i
) noexcept nogil:
    f = a[0] + f + MD5_K[i] + word
    a[0] = d[0]
    d[0] = c[0]
    c[0] = b[0]
    b[0] = b[0] + ((f << MD5_R[i]) | (f >> (32 - MD5_R[i])))


cdef void md5_block(Hash *m, const uint8_t *p) noexcept nogil:
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


cdef inline uint32_t right(uint32_t x, int n) noexcept nogil:
    return (x >> n) | (x << (32 - n))


cdef void sha_256_block(Hash *m, const uint8_t *p) noexcept nogil:
    cdef uint32_t w[64]
    cdef uint32_t s[8]
    cdef uint32_t one, two
    cdef int i
    for i in range(16):
        w[i] = (
            (<uint32_t>p[4 * i] << 24) | (<uint32_t>p[4 * i + 1] << 16) | (<uint32_t>p[4 * i + 2] << 8) | p[4 * i + 3]
        )
    for i in range(16, 64):
        one = right(w[i - 15], 7) ^ right(w[i - 15], 18) ^ (w[i - 15] >> 3)
        two = right(w[i - 2], 17) ^ right(w[i - 2], 19) ^ (w[i - 2] >> 10)
        w[i] = w[i - 16] + one + w[i - 7] + two
    memcpy(s, m.h, sizeof(s))
    for i in range(64):
        one = s[7] + (right(s[4], 6) ^ right(s[4], 11) ^ right(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6]))
        one += <uint32_t>(SHA_K[i] >> 32) + w[i]
        two = (right(s[0], 2) ^ right(s[0], 13) ^ right(s[0], 22)) + (
            (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])
        )
        s[7] = s[6]
        s[6] = s[5]
        s[5] = s[4]
        s[4] = s[3] + one
        s[3] = s[2]
        s[2] = s[1]
        s[1] = s[0]
        s[0] = one + two
    for i in range(8):
        m.h[i] += s[i]


cdef inline uint64_t right64(uint64_t x, int n) noexcept nogil:
    return (x >> n) | (x << (64 - n))


cdef void sha_512_block(Hash *m, const uint8_t *p) noexcept nogil:
    cdef uint64_t w[80]
    cdef uint64_t s[8]
    cdef uint64_t one, two
    cdef int i, j
    for i in range(16):
        one = 0
        for j in range(8):
            one = (one << 8) | p[8 * i + j]
        w[i] = one
    for i in range(16, 80):
        one = right64(w[i - 15], 1) ^ right64(w[i - 15], 8) ^ (w[i - 15] >> 7)
        two = right64(w[i - 2], 19) ^ right64(w[i - 2], 61) ^ (w[i - 2] >> 6)
        w[i] = w[i - 16] + one + w[i - 7] + two
    memcpy(s, m.w, sizeof(s))
    for i in range(80):
        one = s[7] + (right64(s[4], 14) ^ right64(s[4], 18) ^ right64(s[4], 41)) + (
            (s[4] & s[5]) ^ (~s[4] & s[6])
        )
        one += SHA_K[i] + w[i]
        two = (right64(s[0], 28) ^ right64(s[0], 34) ^ right64(s[0], 39)) + (
            (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2])
        )
        s[7] = s[6]
        s[6] = s[5]
        s[5] = s[4]
        s[4] = s[3] + one
        s[3] = s[2]
        s[2] = s[1]
        s[1] = s[0]
        s[0] = one + two
    for i in range(8):
        m.w[i] += s[i]


cdef inline void hash_block(Hash *m, const uint8_t *p) noexcept nogil:
    if m.algorithm == A_MD5:
        md5_block(m, p)
    elif m.algorithm == A_SHA_256:
        sha_256_block(m, p)
    else:
        sha_512_block(m, p)


cdef void hash_add(Hash *m, const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint32_t width = 128 if m.algorithm == A_SHA_512_256 else 64
    cdef uint32_t have = <uint32_t>(m.size & (width - 1)), take
    m.size += n
    while n:
        take = width - have
        if take > n:
            take = n
        memcpy(m.block + have, p, take)
        have += take
        p += take
        n -= take
        if have == width:
            hash_block(m, m.block)
            have = 0


cdef void hash_close(Hash *m) noexcept nogil:
    """The padding: a bit, zeros, and the length in bits, little-endian in MD5 only."""
    cdef uint32_t width = 128 if m.algorithm == A_SHA_512_256 else 64
    cdef uint32_t tail = width >> 3  # octets of the length
    cdef uint64_t bits = m.size * 8
    cdef uint32_t have = <uint32_t>(m.size & (width - 1))
    cdef int i
    m.block[have] = 0x80
    have += 1
    if have > width - tail:
        memset(m.block + have, 0, width - have)
        hash_block(m, m.block)
        have = 0
    memset(m.block + have, 0, width - have)
    for i in range(8):
        if m.algorithm == A_MD5:
            m.block[56 + i] = <uint8_t>(bits >> (8 * i))
        else:
            m.block[width - 1 - i] = <uint8_t>(bits >> (8 * i))
    hash_block(m, m.block)


cdef uint32_t hash_end(Hash *m, uint8_t *hex_out) noexcept nogil:
    """Hex digits into `hex_out`, 32 of MD5, else 64; how many they are."""
    cdef uint32_t octets = 16 if m.algorithm == A_MD5 else 32, i
    cdef uint8_t octet
    hash_close(m)
    for i in range(octets):
        if m.algorithm == A_MD5:
            octet = <uint8_t>(m.h[i >> 2] >> (8 * (i & 3)))
        elif m.algorithm == A_SHA_256:
            octet = <uint8_t>(m.h[i >> 2] >> (24 - 8 * (i & 3)))
        else:
            octet = <uint8_t>(m.w[i >> 3] >> (56 - 8 * (i & 7)))
        hex_out[2 * i] = HEX[octet >> 4]
        hex_out[2 * i + 1] = HEX[octet & 15]
    return 2 * octets


cdef void hash_add_unquoted(Hash *m, Span s) noexcept nogil:
    """The text that a quoted string means: a backslash only guards what follows it."""
    cdef uint32_t i = 0
    while i < s.n:
        if s.p[i] == 92 and i + 1 < s.n:
            i += 1
        hash_add(m, s.p + i, 1)
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


cdef bint offers(Span qop, const char *option, uint32_t n) noexcept nogil:
    """Whether `option` is in the list of qop."""
    cdef const uint8_t *p = qop.p
    cdef const uint8_t *end = qop.p + qop.n
    cdef const uint8_t *start
    while p < end:
        start = p
        while p < end and p[0] != 44:
            p += 1
        if same(trimmed(start, p), option, n):
            return True
        if p < end:
            p += 1
    return False


cdef int algorithm_of(Span name, bint *session) noexcept nogil:
    """The hash of an algorithm's name; A_NONE for one that is not known here."""
    session[0] = name.n > 5 and same(span(name.p + name.n - 5, name.p + name.n), <const char *>b"-sess", 5)
    if session[0]:
        name.n -= 5
    if name.n == 0 and not session[0]:
        return A_MD5
    if same(name, <const char *>b"md5", 3):
        return A_MD5
    if same(name, <const char *>b"sha-256", 7):
        return A_SHA_256
    if same(name, <const char *>b"sha-512-256", 11):
        return A_SHA_512_256
    return A_NONE


cdef bint answerable(Span challenge) noexcept nogil:
    """Whether it is a Digest challenge with a hash and a protection that are known here."""
    cdef Span qop
    cdef bint session
    if challenge.n < 8 or not same(span(challenge.p, challenge.p + 6), <const char *>b"digest", 6):
        return False
    if not is_space(challenge.p[6]):
        return False
    if directive(challenge, <const char *>b"nonce", 5).n == 0:
        return False
    if algorithm_of(directive(challenge, <const char *>b"algorithm", 9), &session) == A_NONE:
        return False
    qop = directive(challenge, <const char *>b"qop", 3)
    return qop.n == 0 or offers(qop, <const char *>b"auth", 4) or offers(qop, <const char *>b"auth-int", 8)


cdef inline bint wants_body(Span challenge) noexcept nogil:
    """Whether its answer has to cover the body. Of both protections auth is taken, since auth-int does not survive
    a proxy that touches the body."""
    cdef Span qop = directive(challenge, <const char *>b"qop", 3)
    return qop.n > 0 and not offers(qop, <const char *>b"auth", 4)


cdef void put_guarded(Writer *w, Span s) noexcept nogil:
    """What stands within quotes: a backslash before each quote and backslash (RFC 3261 section 25.1)."""
    cdef uint32_t i
    for i in range(s.n):
        if s.p[i] == 34 or s.p[i] == 92:
            put(w, <const uint8_t *>b"\\", 1)
        put(w, s.p + i, 1)


cdef bint write_authorization(
    Writer *w, Span challenge, bint proxy, Span user, Span password, Span method, Span uri, const uint8_t *cnonce,
    Span body
) noexcept nogil:
    """The (Proxy-)Authorization line that answers a challenge; `cnonce` has 16 octets. False if it cannot."""
    cdef Span realm, nonce, algorithm, qop, opaque
    cdef Hash m, b
    cdef uint8_t ha1[64]
    cdef uint8_t ha2[64]
    cdef uint8_t response[64]
    cdef uint8_t of_body[64]
    cdef bint session = False, integrity
    cdef int kind
    cdef uint32_t n
    if not answerable(challenge):
        return False
    realm = directive(challenge, <const char *>b"realm", 5)
    nonce = directive(challenge, <const char *>b"nonce", 5)
    algorithm = directive(challenge, <const char *>b"algorithm", 9)
    qop = directive(challenge, <const char *>b"qop", 3)
    opaque = directive(challenge, <const char *>b"opaque", 6)
    integrity = wants_body(challenge)
    kind = algorithm_of(algorithm, &session)
    hash_begin(&m, kind)
    hash_add(&m, user.p, user.n)
    hash_add(&m, <const uint8_t *>b":", 1)
    hash_add_unquoted(&m, realm)
    hash_add(&m, <const uint8_t *>b":", 1)
    hash_add(&m, password.p, password.n)
    n = hash_end(&m, ha1)
    if session:
        hash_begin(&m, kind)
        hash_add(&m, ha1, n)
        hash_add(&m, <const uint8_t *>b":", 1)
        hash_add_unquoted(&m, nonce)
        hash_add(&m, <const uint8_t *>b":", 1)
        hash_add(&m, cnonce, 16)
        hash_end(&m, ha1)
    hash_begin(&m, kind)
    hash_add(&m, method.p, method.n)
    hash_add(&m, <const uint8_t *>b":", 1)
    hash_add(&m, uri.p, uri.n)
    if integrity:
        hash_begin(&b, kind)
        hash_add(&b, body.p, body.n)
        n = hash_end(&b, of_body)
        hash_add(&m, <const uint8_t *>b":", 1)
        hash_add(&m, of_body, n)
    hash_end(&m, ha2)
    hash_begin(&m, kind)
    hash_add(&m, ha1, n)
    hash_add(&m, <const uint8_t *>b":", 1)
    hash_add_unquoted(&m, nonce)
    if qop.n:
        hash_add(&m, <const uint8_t *>b":00000001:", 10)
        hash_add(&m, cnonce, 16)
        if integrity:
            hash_add(&m, <const uint8_t *>b":auth-int:", 10)
        else:
            hash_add(&m, <const uint8_t *>b":auth:", 6)
    else:
        hash_add(&m, <const uint8_t *>b":", 1)
    hash_add(&m, ha2, n)
    hash_end(&m, response)
    if proxy:
        put_text(w, b"Proxy-")
    put_text(w, b"Authorization: Digest username=\"")
    put_guarded(w, user)
    put_text(w, b"\", realm=\"")
    put_span(w, realm)
    put_text(w, b"\", nonce=\"")
    put_span(w, nonce)
    put_text(w, b"\", uri=\"")
    put_span(w, uri)
    put_text(w, b"\", response=\"")
    put(w, response, n)
    put_text(w, b"\", algorithm=")
    if algorithm.n:
        put_span(w, algorithm)
    else:
        put_text(w, b"MD5")
    if qop.n or session:
        put_text(w, b", cnonce=\"")
        put(w, cnonce, 16)
        put_text(w, b"\"")
    if qop.n:
        put_text(w, b", qop=auth-int, nc=00000001" if integrity else b", qop=auth, nc=00000001")
    if opaque.n:
        put_text(w, b", opaque=\"")
        put_span(w, opaque)
        put_text(w, b"\"")
    put_text(w, b"\r\n")
    return not w.overflow
