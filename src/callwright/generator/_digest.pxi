# Digest authentication (RFC 7616, RFC 8760), so that each of many accounts can register within the loop. The hashes
# are libcrypto's, in the copy that Python's hashlib has loaded: nothing is linked, and no headers are needed. A Python
# that hides its copy (one linked into it) hashes by hashlib, and takes the GIL for it.

cdef extern from "<dlfcn.h>" nogil:
    void *dlopen(const char *, int)
    void *dlsym(void *, const char *)
    int RTLD_LAZY

ctypedef int (*evp_digest)(const void *, size_t, uint8_t *, unsigned int *, const void *, void *) noexcept nogil
ctypedef const void *(*evp_fetch)(void *, const char *, const char *) noexcept nogil
ctypedef const void *(*evp_by_name)(const char *) noexcept nogil

cdef enum:
    A_NONE = 0
    A_MD5 = 1
    A_SHA_256 = 2
    A_SHA_512_256 = 3

    HASHED = 3 * IN_SIZE        # octets of what is hashed: no part is longer than a datagram

HASHLIB_NAMES = ("", "md5", "sha256", "sha512_256")

# Written by digest_prepare() alone, before there is a loop.
cdef evp_digest EVP_Digest = NULL
cdef const void *HASH[4]
cdef const char *HEX = b"0123456789abcdef"


cdef void digest_prepare():
    """Looks for libcrypto, which of `_hashlib` depends on or, in a static Python, is a part of the program."""
    global EVP_Digest
    cdef void *handle
    cdef evp_fetch fetch
    cdef evp_by_name by_name
    cdef bytes path
    cdef int i
    try:
        import _hashlib
        path = getattr(_hashlib, "__file__", "").encode()
    except ImportError:
        return
    handle = dlopen(<const char *>path if path else NULL, RTLD_LAZY)
    if handle == NULL:
        return
    fetch = <evp_fetch>dlsym(handle, b"EVP_MD_fetch")
    by_name = <evp_by_name>dlsym(handle, b"EVP_get_digestbyname")  # before OpenSSL 3
    names = (b"MD5", b"SHA256", b"SHA512-256")
    for i in range(3):
        if fetch != NULL:
            HASH[i + 1] = fetch(NULL, names[i], b"-fips")  # of passwords in SIP, as with usedforsecurity=False
        elif by_name != NULL:
            HASH[i + 1] = by_name(names[i])
    EVP_Digest = <evp_digest>dlsym(handle, b"EVP_Digest")


cdef bint hash_by_python(int kind, const uint8_t *p, size_t n, uint8_t *out) noexcept with gil:
    cdef bytes found
    try:
        found = hashlib.new(HASHLIB_NAMES[kind], (<const char *>p)[:n], usedforsecurity=False).digest()
    except ValueError:
        return False
    memcpy(out, <const char *>found, <size_t>len(found))
    return True


cdef uint32_t hash_hex(int kind, Writer *w, uint8_t *text, uint8_t *hex_out) noexcept nogil:
    """The hash of what `w` has written at `text`, as hex digits: how many they are, 0 where there is no such hash or
    the text was too long. `w` begins anew."""
    cdef uint8_t octets[64]
    cdef unsigned int n = 16 if kind == A_MD5 else 32, i
    cdef size_t size = <size_t>(w.p - text)
    w.p = text
    if w.overflow:
        return 0
    if EVP_Digest == NULL or HASH[kind] == NULL:
        if not hash_by_python(kind, text, size, octets):
            return 0
    elif not EVP_Digest(text, size, octets, &n, HASH[kind], NULL):
        return 0
    for i in range(n):
        hex_out[2 * i] = HEX[octets[i] >> 4]
        hex_out[2 * i + 1] = HEX[octets[i] & 15]
    return 2 * n


cdef void put_unquoted(Writer *w, Span s) noexcept nogil:
    """The text that a quoted string means: a backslash only guards what follows it."""
    cdef uint32_t i = 0
    while i < s.n:
        if s.p[i] == 92 and i + 1 < s.n:
            i += 1
        put(w, s.p + i, 1)
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
    cdef uint8_t text[HASHED]
    cdef Writer h
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
    h.p = text
    h.end = text + HASHED
    h.overflow = False
    put_span(&h, user)
    put_text(&h, b":")
    put_unquoted(&h, realm)
    put_text(&h, b":")
    put_span(&h, password)
    n = hash_hex(kind, &h, text, ha1)
    if session:
        put(&h, ha1, n)
        put_text(&h, b":")
        put_unquoted(&h, nonce)
        put_text(&h, b":")
        put(&h, cnonce, 16)
        hash_hex(kind, &h, text, ha1)
    if integrity:
        put_span(&h, body)
        hash_hex(kind, &h, text, of_body)
    put_span(&h, method)
    put_text(&h, b":")
    put_span(&h, uri)
    if integrity:
        put_text(&h, b":")
        put(&h, of_body, n)
    hash_hex(kind, &h, text, ha2)
    put(&h, ha1, n)
    put_text(&h, b":")
    put_unquoted(&h, nonce)
    if qop.n:
        put_text(&h, b":00000001:")
        put(&h, cnonce, 16)
        put_text(&h, b":auth-int:" if integrity else b":auth:")
    else:
        put_text(&h, b":")
    put(&h, ha2, n)
    if hash_hex(kind, &h, text, response) == 0:
        return False
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
