# Requests of the load loop within a dialog besides BYE: PRACK, UPDATE and re-INVITE, one of them at a time, told apart
# by the letter in their branches. They have clocks of their own, since the call waits for something else meanwhile.

cdef enum:
    I_PRACK = 112               # p
    I_UPDATE = 117              # u
    I_REINVITE = 106            # j


cdef inline bint established(Call *c) noexcept nogil:
    return c.state == S_TALKING or c.state == S_CONFIRMED or c.state == S_ANSWERED


cdef void nothing_open(Call *c) noexcept nogil:
    """The call is ended, answered or begun anew: what was open within it, or repeated, is not waited for."""
    if c.second == NULL:
        return
    if c.second.open and c.dialog != NULL:
        c.dialog.challenge.n = 0
    c.second.open = c.second.owed = c.second.waits = 0
    c.second.armed &= 1 << W_MAIN


cdef void begin_inside(Loop *L, uint32_t slot, Call *c, uint8_t letter) noexcept nogil:
    """Sends a request within the dialog, the first time."""
    cdef Second *s = c.second
    s.cseq = last_cseq(c) + 1
    if letter == I_REINVITE:
        s.invited = s.cseq
    s.open = letter
    s.repeats = 0
    s.marked = L.now
    send_inside(L, slot, c)
    clock_in(L, slot, c, W_REQUEST, L.wait)


cdef void send_inside(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """The same octets each time."""
    cdef Second *s = c.second
    cdef int which = T_PRACK if s.open == I_PRACK else T_UPDATE if s.open == I_UPDATE else T_REINVITE
    cdef const char *method = b"PRACK" if s.open == I_PRACK else b"UPDATE" if s.open == I_UPDATE else b"INVITE"
    if c.dialog == NULL:
        return
    if c.dialog.challenge.n:
        send_authorized(
            L, which, slot, c, s.open, s.cseq, method, part(c.dialog, c.dialog.challenge), c.dialog.proxy
        )
    else:
        send_request(L, which, slot, c, s.open, s.cseq)


cdef void inside_again(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Timers A and E of such a request, and B and F."""
    cdef Second *s = c.second
    cdef uint32_t waited, after
    if s.open == 0:
        return
    waited = <uint32_t>((L.now - s.marked) // 1000000)
    if waited + 1 >= L.timeout:
        if s.open == I_PRACK:
            s.open = 0
            L.count[C_PRACKS_FAILED] += 1
        else:
            expire(L, slot, c)
        return
    if s.repeats < 16:
        s.repeats += 1
    L.count[C_RESENT] += 1
    send_inside(L, slot, c)
    after = L.t1 << s.repeats
    if s.open != I_REINVITE and after > L.t2:
        after = L.t2
    clock_in(L, slot, c, W_REQUEST, min(after, L.timeout - waited))


cdef void on_inside_response(Loop *L, uint32_t slot, Call *c, Parsed *m, uint8_t letter) noexcept nogil:
    cdef Second *s = c.second
    cdef Audio audio
    if s == NULL or c.dialog == NULL or c.state == S_FREE:
        L.count[C_STRAY] += 1
        return
    if letter == I_REINVITE and m.status >= 200 and m.cseq == s.invited:
        # A 2xx is acknowledged on a branch of its own, each time it comes; another on that of the request.
        send_request(L, T_ACK, slot, c, 107 if m.status < 300 else letter, m.cseq)
    if s.open != letter or m.cseq != s.cseq:
        L.count[C_REPEATED] += 1
        return
    if m.status < 200:
        if letter == I_REINVITE:
            clock_off(L, slot, c, W_REQUEST)  # it came; the session's end bounds the wait
        return
    clock_off(L, slot, c, W_REQUEST)
    if (m.status == 401 or m.status == 407) and L.user_column >= 0 and not c.incoming and not s.tried:
        if keep_challenge_of_bye(c, m):
            L.count[C_CHALLENGED] += 1
            s.tried = True
            begin_inside(L, slot, c, letter)
            return
    s.open = s.tried = 0
    c.dialog.challenge.n = 0
    if letter == I_PRACK:
        if m.status >= 300:
            L.count[C_PRACKS_FAILED] += 1
        return
    if m.status < 300:
        if letter == I_REINVITE and c.stream >= 0 and m.body.n:
            read_audio(m.body, &audio)
            media_again(L, c.stream, m.body, &L.remote if c.dialog.direct else &c.dialog.peer)
            media_direct(L, c.stream, answer_to(audio.direction))
        L.count[C_REFRESHED] += 1
        session_answered(L, slot, c, m)
    elif m.status == 408 or m.status == 481:
        expire(L, slot, c)
    else:
        if m.status == 405 or m.status == 501:
            s.by_update = 0
        clock_in(L, slot, c, W_REFRESH, 1 if raised(L, slot, c, m) else 2000)


cdef void answer_inside(Loop *L, uint32_t slot, Call *c, Parsed *m, Address *source) noexcept nogil:
    """A re-INVITE or an UPDATE: agreed to as it is, where the session may be so short and no INVITE of ours is open."""
    cdef Span none = span(NULL, NULL)
    cdef Second *s = c.second
    cdef bint offers = m.method == M_INVITE or m.body.n > 0
    if brief(L, m):
        L.count[C_BRIEF] += 1
        reply(L, m, source, 422, T_BRIEF, none)
    elif only_encrypted(m.body):
        L.count[C_ENCRYPTED] += 1
        reply(L, m, source, 488, T_UNFIT, none)
    elif offers and c.state == S_RINGING and not (s != NULL and s.offers):
        reply(L, m, source, 500, T_LATER, none)  # their offer in the INVITE is unanswered (RFC 3311 section 5.2)
    elif offers and (not c.incoming and not established(c) and not (s != NULL and s.described)):
        reply(L, m, source, 491, T_EMPTY, none)  # so is ours
    elif offers and s != NULL and s.open == I_REINVITE:
        reply(L, m, source, 491, T_EMPTY, none)  # RFC 3261 section 14.2
    else:
        if established(c):
            session_asked(L, slot, c, m)
            s = c.second
            if s != NULL and s.interval:
                session_begins(L, slot, c)
        if offers:
            offered(L, c, m)
            reply_in(L, m, source, 200, T_OK, none, slot)
        else:
            reply_in(L, m, source, 200, T_REFRESHED, none, slot)
