# Session timers of the load loop (RFC 4028), as `sip.session_timer` keeps them.

cdef enum:
    SMALLEST_SESSION = 90       # s: the Min-SE of who names none
    LEAST_SESSION = 4           # s: a shorter one is read as none
    LONGEST_SESSION = 1000000   # s: so that it can be counted in milliseconds
    MOST_RAISES = 4


cdef inline bint speaks_timer(Parsed *m) noexcept nogil:
    return (m.options & (X_SUPPORTED_TIMER | X_REQUIRED_TIMER)) != 0


cdef inline bint brief(Loop *L, Parsed *m) noexcept nogil:
    """A request asks for less than our Min-SE, and its sender can ask again (section 9)."""
    return (m.options & X_SESSION) and m.session < L.min_se and speaks_timer(m)


cdef bint raised(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """A 422: True where it is worth a try to ask for its Min-SE (section 7.4)."""
    cdef Second *s
    if m.status != 422 or m.min_se > LONGEST_SESSION:
        return False
    s = second_of(L, slot, c)
    if s == NULL or s.raises >= MOST_RAISES or m.min_se <= s.least:
        return False
    s.raises += 1
    s.least = m.min_se
    L.count[C_BRIEF] += 1
    return True


cdef void put_asked(Loop *L, Writer *w, Call *c) noexcept nogil:
    """What an INVITE, re-INVITE or UPDATE of ours asks for (section 7.1)."""
    cdef Second *s = c.second
    cdef uint32_t interval = L.session, least = 0
    cdef int refresher = L.refresher
    if s != NULL:
        least = s.least
        if s.interval:
            interval = s.interval
            refresher = s.refresher
    if interval == 0:
        return
    put_text(w, b"Session-Expires: ")
    put_decimal(w, max(interval, least))
    if refresher == R_LOCAL:
        put_text(w, b";refresher=uac")
    elif refresher == R_REMOTE:
        put_text(w, b";refresher=uas")
    put_text(w, b"\r\n")
    if least or L.min_se != SMALLEST_SESSION:
        put_text(w, b"Min-SE: ")
        put_decimal(w, max(least, L.min_se))
        put_text(w, b"\r\n")


cdef void put_session(Writer *w, Call *c) noexcept nogil:
    """What our 2xx to such a request says (section 9)."""
    cdef Second *s = c.second
    if s == NULL or s.interval == 0:
        return
    if s.refresher == R_REMOTE:
        put_text(w, b"Require: timer\r\n")
    put_text(w, b"Session-Expires: ")
    put_decimal(w, s.interval)
    put_text(w, b";refresher=uac\r\n" if s.refresher == R_REMOTE else b";refresher=uas\r\n")


cdef void session_asked(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """What their request leaves the session at; it begins with our 2xx."""
    cdef Second *s = c.second
    cdef uint32_t interval
    cdef int role = 0, who = L.refresher
    cdef bint running = s != NULL and s.interval != 0
    if m.options & X_SESSION and m.session >= LEAST_SESSION:
        interval = min(m.session, <uint32_t>LONGEST_SESSION)
        role = m.refresher
        if L.session and L.session < interval:
            interval = min(interval, max(L.session, m.min_se if m.min_se else <uint32_t>SMALLEST_SESSION))
    elif running:
        interval = s.interval
    elif L.session:
        interval = L.session
    else:
        return
    s = second_of(L, slot, c)
    if s == NULL:
        return
    if m.method == M_INVITE or m.options & X_ALLOW:
        s.by_update = (m.options & X_ALLOW_UPDATE) != 0
    if not speaks_timer(m):
        role = X_UAS
    elif role == 0:
        if running:
            who = s.refresher
        role = X_UAS if who == R_LOCAL else X_UAC
    s.interval = interval
    s.refresher = R_LOCAL if role == X_UAS else R_REMOTE
    if running and s.asked != m.cseq:
        L.count[C_REFRESHED] += 1
    s.asked = m.cseq


cdef void session_answered(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """A 2xx to a request of ours: without Session-Expires the call stands for ever (section 7.2)."""
    cdef Second *s = c.second
    if m.session < LEAST_SESSION:
        if s != NULL:
            s.interval = 0
            s.refresher = R_NOBODY
            clock_off(L, slot, c, W_REFRESH)
            clock_off(L, slot, c, W_EXPIRY)
        return
    s = second_of(L, slot, c)
    if s == NULL:
        return
    s.interval = min(m.session, <uint32_t>LONGEST_SESSION)
    s.refresher = R_REMOTE if m.refresher == X_UAS else R_LOCAL
    if m.options & X_ALLOW:
        s.by_update = (m.options & X_ALLOW_UPDATE) != 0
    session_begins(L, slot, c)


cdef void session_begins(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """The refresher refreshes at half the time; BYE comes a little before its end, so that a proxy still knows the
    call (section 10)."""
    cdef Second *s = c.second
    cdef uint32_t ms = s.interval * 1000
    if s.refresher == R_LOCAL:
        clock_in(L, slot, c, W_REFRESH, ms // 2)
    else:
        clock_off(L, slot, c, W_REFRESH)
    clock_in(L, slot, c, W_EXPIRY, ms - min(<uint32_t>32000, ms // 3))


cdef void refresh(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    cdef Second *s = c.second
    cdef int by = L.refresh_by
    if c.state != S_TALKING and c.state != S_CONFIRMED:
        return
    if s.open:
        clock_in(L, slot, c, W_REFRESH, 2000)
        return
    if by == 0:
        by = M_UPDATE if s.by_update else M_INVITE
    begin_inside(L, slot, c, I_UPDATE if by == M_UPDATE else I_REINVITE)


cdef void expire(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Nobody has refreshed the session in time, or the other side is gone."""
    if c.state == S_TALKING or c.state == S_CONFIRMED:
        c.second.expired = True
        say_bye(L, slot, c)
