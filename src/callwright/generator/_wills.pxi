# What ends each call, in memory that the guardian of this process maps too: a page for each call, with the
# INVITE as it was sent and the 2xx as it came. No system call; nothing is copied but the two heads.

# Written by the loop's thread alone, `state` last; read by the guardian, another process, once this one is gone, by
# `callwright.generator.wills`.
cdef struct Will:
    uint32_t state
    uint32_t invite             # octets
    uint32_t answer
    uint32_t account
    Address peer                # of a call that came in


cdef uint8_t *will_at(Loop *L, uint32_t slot) noexcept nogil:
    """The page of a call; NULL where nobody keeps any, or memory is at its end."""
    cdef uint32_t chunk = slot >> 12
    cdef void *pages
    cdef size_t size = <size_t>CHUNK * WILL_SIZE
    if L.wills_fd < 0:
        return NULL
    if L.wills[chunk] == NULL:
        if ftruncate(L.wills_fd, <long>(size * (chunk + 1))) != 0:
            return NULL
        pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, L.wills_fd, <long>(size * chunk))
        if pages == <void *>-1:
            return NULL
        L.wills[chunk] = <uint8_t *>pages
    return L.wills[chunk] + <size_t>(slot & (CHUNK - 1)) * WILL_SIZE


cdef inline uint32_t head_of(const uint8_t *text, size_t n) noexcept nogil:
    """Octets up to the empty line; 0 where they are too many."""
    cdef const uint8_t *end = <const uint8_t *>memmem(text, n, b"\r\n\r\n", 4)
    cdef size_t head = <size_t>(end - text) + 4 if end != NULL else n
    return <uint32_t>head if head <= WILL_TEXT else 0


cdef void will_called(Loop *L, uint32_t slot, Call *c, const uint8_t *text, size_t n) noexcept nogil:
    """Before the INVITE leaves."""
    cdef uint8_t *page = will_at(L, slot)
    cdef Will *w = <Will *>page
    if page == NULL:
        return
    w.state = WILL_FREE
    w.invite = head_of(text, n)
    w.answer = 0
    w.account = c.account
    memcpy(page + WILL_INVITE_AT, text, w.invite)
    if w.invite:
        w.state = WILL_CALLED


cdef void will_answered(Loop *L, uint32_t slot, Parsed *m) noexcept nogil:
    """Before the ACK leaves."""
    cdef uint8_t *page = will_at(L, slot)
    cdef Will *w = <Will *>page
    cdef uint32_t n
    if page == NULL or w.state != WILL_CALLED:
        return
    n = head_of(m.whole.p, m.whole.n)
    if n == 0:
        return
    memcpy(page + WILL_ANSWER_AT, m.whole.p, n)
    w.answer = n
    w.state = WILL_ANSWERED


cdef void will_taken(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Before our 200 leaves: an INVITE of what was kept of it, To with our tag."""
    cdef uint8_t *page = will_at(L, slot)
    cdef Will *will = <Will *>page
    cdef Dialog *d = c.dialog
    cdef Writer w
    if page == NULL or d == NULL:
        return
    will.state = WILL_FREE
    w.p = page + WILL_INVITE_AT
    w.end = w.p + WILL_TEXT
    w.overflow = False
    put_text(&w, b"INVITE sip:us@invalid SIP/2.0\r\n")
    put_span(&w, part(d, d.headers))
    put_text(&w, b"From: ")
    put_span(&w, part(d, d.remote))
    put_text(&w, b"\r\nTo: ")
    put_span(&w, part(d, d.local))
    put_text(&w, b"\r\nCall-ID: ")
    put_span(&w, part(d, d.call_id))
    put_text(&w, b"\r\nCSeq: ")
    put_decimal(&w, d.cseq)
    put_text(&w, b" INVITE\r\nContact: <")
    put_span(&w, part(d, d.target))
    put_text(&w, b">\r\n\r\n")
    if w.overflow:
        return
    will.invite = <uint32_t>(w.p - page - WILL_INVITE_AT)
    will.answer = 0
    will.account = c.account
    will.peer = d.peer
    will.state = WILL_TAKEN


cdef inline void will_over(Loop *L, uint32_t slot) noexcept nogil:
    """The call is over; what is not mapped was never kept."""
    if L.wills_fd >= 0 and L.wills[slot >> 12] != NULL:
        (<Will *>(L.wills[slot >> 12] + <size_t>(slot & (CHUNK - 1)) * WILL_SIZE)).state = WILL_FREE


cdef void wills_close(Loop *L) noexcept nogil:
    cdef uint32_t i
    if L.wills != NULL:
        for i in range(CHUNKS):
            if L.wills[i] != NULL:
                munmap(L.wills[i], <size_t>CHUNK * WILL_SIZE)
                L.wills[i] = NULL
    if L.wills_fd >= 0:
        c_close(L.wills_fd)
        L.wills_fd = -1
