# What was said in the calls that failed, and in the slowest. Every message of every call goes into one ring of
# octets, where those of a call are chained, the newest first. Nothing more is done for a call that succeeds; of one
# that fails the chain is copied as far as it has not been overwritten.

cdef enum:
    RING = 33554432             # octets: ten seconds and more at a thousand calls a second


cdef uint8_t *open_ring() noexcept nogil:
    """Memory that the kernel gives as it is written first, in large pages where it can."""
    cdef uint8_t *ring = <uint8_t *>aligned_alloc(2097152, RING)
    if ring != NULL:
        madvise(ring, RING, MADV_HUGEPAGE)
    return ring


cdef inline uint32_t padded(uint32_t size) noexcept nogil:
    return (<uint32_t>sizeof(Entry) + size + 7) & ~<uint32_t>7


cdef inline void keep_message(Loop *L, Call *c, const uint8_t *p, uint32_t size, bint sent) noexcept nogil:
    cdef uint32_t need, offset, ahead
    cdef Entry *e
    if L.ring == NULL or size > IN_SIZE:
        return
    need = padded(size)
    offset = <uint32_t>(L.said & (RING - 1))
    if offset + need > RING:  # an entry is in one piece
        L.said += RING - offset
        offset = 0
    e = <Entry *>(L.ring + offset)
    e.at = L.now
    e.before = c.said
    e.size = size
    e.sent = sent
    memcpy(<uint8_t *>(e + 1), p, size)
    c.said = L.said + 1
    L.said += need
    # Where the next one goes was written long ago and is in no cache: it is fetched while this turn goes on.
    offset = <uint32_t>(L.said & (RING - 1))
    for ahead in range(0, 640, 64):
        __builtin_prefetch(L.ring + ((offset + ahead) & (RING - 1)), 1, 3)


cdef inline void keep_sent(Loop *L, Call *c, Writer *w) noexcept nogil:
    """The message that stands in the outbox next, before it is sent."""
    cdef uint8_t *start = L.out_data + L.out_n * OUT_SIZE
    if not w.overflow:
        keep_message(L, c, start, <uint32_t>(w.p - start), True)


cdef inline void keep_received(Loop *L, Call *c, Parsed *m) noexcept nogil:
    keep_message(L, c, m.whole.p, m.whole.n, False)


cdef inline Entry *entry_at(Loop *L, uint64_t link) noexcept nogil:
    """The entry that a link means; NULL when there is none, or when it was overwritten."""
    if link == 0 or link - 1 + RING < L.said:
        return NULL
    return <Entry *>(L.ring + ((link - 1) & (RING - 1)))


cdef void copy_chain(Loop *L, Call *c, Kept *k) noexcept nogil:
    cdef Entry *e
    cdef uint64_t link = c.said
    cdef uint32_t size = 0
    k.messages = 0
    k.whole = True
    while link:
        e = entry_at(L, link)
        if e == NULL or k.messages == LADDER_MESSAGES:
            k.whole = False
            break
        k.messages += 1
        size += padded(e.size)
        link = e.before
    k.text = <uint8_t *>malloc(size + 1)
    k.size = 0
    if k.text == NULL:
        k.messages = 0
        return
    link = c.said
    while k.size < size:
        e = entry_at(L, link)
        memcpy(k.text + k.size, e, padded(e.size))
        k.size += padded(e.size)
        link = e.before


cdef inline int class_of(int outcome, int code) noexcept nogil:
    return OUTCOMES_N + code if outcome == O_STATUS and code < CODES else outcome


cdef void keep_call(Loop *L, uint32_t slot, Call *c, int outcome, int mos) noexcept nogil:
    """Copies the messages of a call that has just ended, where they are wanted."""
    cdef int kind = class_of(outcome, c.code)
    cdef Kept *k
    if outcome > O_CANCELED:
        if L.kept_by_class[kind] >= L.ladders or L.kept_n >= LADDERS:
            return
        L.kept_by_class[kind] += 1
        k = &L.kept[L.kept_n]
        L.kept_n += 1
    elif outcome == O_ANSWERED and not c.incoming and c.setup > L.slowest:
        L.slowest = c.setup
        k = &L.kept[LADDERS]
        free(k.text)
    else:
        return
    describe(L, &k.call, slot, c, outcome, mos)
    copy_chain(L, c, k)


cdef void forget_kept(Loop *L) noexcept nogil:
    cdef int i
    if L.kept == NULL:
        return
    for i in range(LADDERS + 1):
        free(L.kept[i].text)
    memset(L.kept, 0, (LADDERS + 1) * sizeof(Kept))
    memset(L.kept_by_class, 0, sizeof(L.kept_by_class))
    L.kept_n = 0
    L.slowest = 0


cdef object told_call(Notable *n):
    return CallNoted(n.at / 1e9, n.number, n.account, n.outcome, n.code, n.pdd, n.setup, n.mos)


cdef object told_ladder(Loop *L, Kept *k):
    cdef uint32_t at = 0, i
    cdef Entry *e
    messages = []
    for i in range(k.messages):
        e = <Entry *>(k.text + at)
        text = (<const char *>(e + 1))[: e.size]
        messages.append(MessageNoted((e.at - L.began) / 1e9, bool(e.sent), text))
        at += padded(e.size)
    messages.reverse()
    return FailedLadder(told_call(&k.call), bool(k.whole), tuple(messages))
