# Provisional responses that are acknowledged (RFC 3262): PRACK of the caller, and the ringing that waits for one.


cdef void take_reliable(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """Acknowledges it where it is the next one. The early dialog is that of the branch which spoke last."""
    cdef Second *s = second_of(L, slot, c)
    cdef Audio audio
    if s == NULL or tag_of(m.to_value).n == 0:
        return
    if c.dialog == NULL or c.dialog.remote.n == 0 or not same_dialog(c, m):
        if not store_dialog(L, c, m):
            return
        s.rseq = 0
    if s.rseq and m.rseq != s.rseq + 1:
        if m.rseq <= s.rseq:
            L.count[C_REPEATED] += 1
        return
    s.rseq = m.rseq
    L.count[C_RELIABLE] += 1
    L.count[C_PRACKS] += 1
    if c.stream >= 0 and m.body.n:
        # The answer: the 2xx may come without one.
        read_audio(m.body, &audio)
        media_start(L, c.stream, m.body, &L.remote)
        media_promise(L, c.stream, m.body, False)
        s.described = True
        s.direction = <uint8_t>answer_to(audio.direction)
    s.tried = 0
    c.dialog.challenge.n = 0
    begin_inside(L, slot, c, I_PRACK)


cdef void ring_reliably(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """180 until its PRACK comes, and the answer only then."""
    cdef Second *s = second_of(L, slot, c)
    if s == NULL:
        send_answer(L, slot, c, 180, T_RINGING)
        return
    s.rseq = 1 + <uint32_t>(next_random(L) & 0xFFFFFF)
    s.offers = m.body.n == 0  # without an offer in the INVITE ours stands here (section 5)
    s.owed = True
    s.waits = L.ring_time == 0
    s.rung = L.now
    s.rings = 0
    L.count[C_RELIABLE] += 1
    send_reliable(L, slot, c)
    clock_in(L, slot, c, W_RELIABLE, L.t1)


cdef void send_reliable(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    send_answer(L, slot, c, 180, T_RELIABLE_OFFER if c.second.offers else T_RELIABLE)


cdef void ring_again(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """At doubling times, for 64·T1 (section 3)."""
    cdef Second *s = c.second
    cdef uint32_t waited = <uint32_t>((L.now - s.rung) // 1000000)
    if c.state != S_RINGING or not s.owed:
        return
    if waited + 1 >= L.timeout:
        s.unproved = True
        refuse(L, slot, c, 504)
        return
    if s.rings < 16:
        s.rings += 1
    L.count[C_RESENT] += 1
    send_reliable(L, slot, c)
    clock_in(L, slot, c, W_RELIABLE, min(L.t1 << s.rings, L.timeout - waited))


cdef bint read_rack(Span value, uint32_t *rseq, uint32_t *cseq) noexcept nogil:
    """`RSeq CSeq INVITE` (section 7.2)."""
    cdef uint32_t at = <uint32_t>number(value, rseq), digits
    if at == 0 or at >= value.n or not is_space(value.p[at]):
        return False
    while at < value.n and is_space(value.p[at]):
        at += 1
    digits = <uint32_t>number(span(value.p + at, value.p + value.n), cseq)
    at += digits
    if digits == 0 or at >= value.n or not is_space(value.p[at]):
        return False
    return method_of(trimmed(value.p + at, value.p + value.n)) == M_INVITE


cdef void on_prack(Loop *L, uint32_t slot, Call *c, Parsed *m, Address *source) noexcept nogil:
    cdef Second *s = c.second
    cdef uint32_t rseq = 0, cseq = 0
    cdef Audio audio
    cdef Span none = span(NULL, NULL)
    if not read_rack(m.rack, &rseq, &cseq):
        reply(L, m, source, 400, T_EMPTY, none)
    elif not c.incoming or s == NULL or s.rseq == 0 or rseq != s.rseq or cseq != c.dialog.cseq:
        reply(L, m, source, 481, T_EMPTY, none)
    elif not s.owed:
        if s.prack == m.cseq:
            L.count[C_REPEATED] += 1  # our 200 was lost
            reply(L, m, source, 200, T_EMPTY, none)
        else:
            reply(L, m, source, 481, T_EMPTY, none)
    elif m.body.n and not s.offers:
        reply(L, m, source, 488, T_EMPTY, none)  # an offer, while theirs in the INVITE is unanswered
    else:
        s.owed = False
        s.prack = m.cseq
        L.count[C_PRACKS] += 1
        clock_off(L, slot, c, W_RELIABLE)
        if s.offers and c.stream >= 0 and m.body.n:
            read_audio(m.body, &audio)
            c.direction = <uint8_t>answer_to(audio.direction)
            media_start(L, c.stream, m.body, source)
            media_promise(L, c.stream, m.body, False)
        reply(L, m, source, 200, T_EMPTY, none)
        if s.waits and c.state == S_RINGING:
            answer_now(L, slot, c)
