# The answering side of the load loop (RFC 3261 sections 8.2, 12.1.1, 13.3 and 17.2).


cdef void put_via_lines(Loop *L, Writer *w, Parsed *m, Address *source) noexcept nogil:
    """Via as it came, with received and rport in the topmost where they are due (18.2.1, RFC 3581)."""
    cdef int i
    cdef char host[64]
    for i in range(m.vias):
        put_text(w, b"Via: ")
        if i == 0 and m.rport != NULL:
            put(w, m.via[0].p, <size_t>(m.rport - m.via[0].p))
            put(w, <const uint8_t *>b"=", 1)
            put_decimal(w, ntohs((<sockaddr_in *>&source.raw[0]).sin_port))
            put_text(w, b";received=")
            if source.size == sizeof(sockaddr_in):
                inet_ntop(AF_INET, &(<sockaddr_in *>&source.raw[0]).sin_addr, host, 64)
            else:
                inet_ntop(AF_INET6, &(<sockaddr_in6 *>&source.raw[0]).sin6_addr, host, 64)
            put_text(w, host)
            put_span(w, span(m.rport, m.via[0].p + m.via[0].n))
        else:
            put_span(w, m.via[i])
        put_text(w, b"\r\n")


cdef void reply_address(Parsed *m, Address *source, Address *to) noexcept nogil:
    """Where a response goes: to the source with rport, else to the source's host and the port of Via (18.2.2)."""
    cdef const uint8_t *p = m.sent_by.p
    cdef const uint8_t *end = m.sent_by.p + m.sent_by.n
    cdef uint32_t port = 5060, v = 0
    to[0] = source[0]
    if m.rport != NULL or to.conn:
        return
    while end > p and 48 <= (end - 1)[0] <= 57:
        end -= 1
    if end > p and (end - 1)[0] == 58 and (p[0] != 91 or (end - 2 >= p and (end - 2)[0] == 93)):
        if number(span(end, m.sent_by.p + m.sent_by.n), &v) and 0 < v < 65536:
            port = v
    (<sockaddr_in *>&to.raw[0]).sin_port = htons(<uint16_t>port)


cdef void put_status(Writer *w, int status) noexcept nogil:
    if status == 100:
        put_text(w, b"SIP/2.0 100 Trying\r\n")
    elif status == 180:
        put_text(w, b"SIP/2.0 180 Ringing\r\n")
    elif status == 200:
        put_text(w, b"SIP/2.0 200 OK\r\n")
    elif status == 420:
        put_text(w, b"SIP/2.0 420 Bad Extension\r\n")
    elif status == 421:
        put_text(w, b"SIP/2.0 421 Extension Required\r\n")
    elif status == 422:
        put_text(w, b"SIP/2.0 422 Session Interval Too Small\r\n")
    elif status == 488:
        put_text(w, b"SIP/2.0 488 Not Acceptable Here\r\n")
    elif status == 500:
        put_text(w, b"SIP/2.0 500 Server Internal Error\r\n")
    elif status == 504:
        put_text(w, b"SIP/2.0 504 Server Time-out\r\n")
    elif status == 481:
        put_text(w, b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n")
    elif status == 486:
        put_text(w, b"SIP/2.0 486 Busy Here\r\n")
    elif status == 487:
        put_text(w, b"SIP/2.0 487 Request Terminated\r\n")
    elif status == 491:
        put_text(w, b"SIP/2.0 491 Request Pending\r\n")
    elif status == 503:
        put_text(w, b"SIP/2.0 503 Service Unavailable\r\n")
    elif status == 501:
        put_text(w, b"SIP/2.0 501 Not Implemented\r\n")
    elif status == 401:
        put_text(w, b"SIP/2.0 401 Unauthorized\r\n")
    else:
        put_text(w, b"SIP/2.0 ")
        put_decimal(w, <uint64_t>status)
        put_text(w, b" Refused\r\n")


cdef void reply(Loop *L, Parsed *m, Address *source, int status, int tail, Span tag) noexcept nogil:
    """A response made from the request alone. `tag` is added to a To that has none."""
    reply_in(L, m, source, status, tail, tag, NONE)


cdef void reply_in(
    Loop *L, Parsed *m, Address *source, int status, int tail, Span tag, uint32_t slot
) noexcept nogil:
    cdef Writer w
    cdef Address to
    cdef Filling f
    begin_message(L, &w)
    put_status(&w, status)
    put_via_lines(L, &w, m, source)
    put_text(&w, b"From: ")
    put_span(&w, m.from_value)
    put_text(&w, b"\r\nTo: ")
    put_span(&w, m.to_value)
    if tag.n and tag_of(m.to_value).n == 0:
        put_text(&w, b";tag=")
        put_span(&w, tag)
    put_text(&w, b"\r\nCall-ID: ")
    put_span(&w, m.call_id)
    put_text(&w, b"\r\nCSeq: ")
    put_span(&w, m.cseq_value)
    put_text(&w, b"\r\n")
    memset(&f, 0, sizeof(f))
    if slot != NONE:
        f.slot = slot
        f.call = call_at(L, slot)
    fill(L, &w, tail, &f)
    reply_address(m, source, &to)
    if L.about != NULL:
        keep_sent(L, L.about, &w)
    send_message(L, &w, &to)


cdef void send_answer(Loop *L, uint32_t slot, Call *c, int status, int tail) noexcept nogil:
    """A response to the INVITE of a call, from what was kept of it."""
    cdef Writer w
    cdef Filling f
    cdef Dialog *d = c.dialog
    if d == NULL:
        return
    begin_message(L, &w)
    put_status(&w, status)
    put_span(&w, part(d, d.headers))
    put_text(&w, b"From: ")
    put_span(&w, part(d, d.remote))
    put_text(&w, b"\r\nTo: ")
    put_span(&w, part(d, d.local))
    put_text(&w, b"\r\nCall-ID: ")
    put_span(&w, part(d, d.call_id))
    put_text(&w, b"\r\nCSeq: ")
    put_decimal(&w, d.cseq)
    put_text(&w, b" INVITE\r\n")
    memset(&f, 0, sizeof(f))
    f.call = c
    f.slot = slot
    fill(L, &w, tail, &f)
    keep_sent(L, c, &w)
    send_message(L, &w, &d.peer)


cdef void put_tag(Loop *L, Writer *w, uint32_t slot, Call *c) noexcept nogil:
    put_hex8(w, L.salt)
    put(w, <const uint8_t *>b"-", 1)
    put_hex8(w, slot)
    put(w, <const uint8_t *>b"-", 1)
    put_hex8(w, c.generation)


cdef int unfit(Loop *L, Parsed *m) noexcept nogil:
    """The status with which an INVITE has to be refused for what it requires or lacks, 0 for none."""
    if m.unknown.n or (m.options & X_REQUIRED_100REL and not L.prack):
        return 420
    if L.prack == 2 and not m.options & (X_SUPPORTED_100REL | X_REQUIRED_100REL):
        return 421
    if brief(L, m):
        return 422
    return 488 if only_encrypted(m.body) else 0


cdef void put_why(Loop *L, Writer *w, Parsed *m, int status) noexcept nogil:
    """What the refusal of an INVITE that is unfit has to name."""
    if status == 420:
        put_text(w, b"Unsupported: ")
        if m.unknown.n:
            put_span(w, m.unknown)
        else:
            put_text(w, b"100rel")
        put_text(w, b"\r\n")
    elif status == 421:
        put_text(w, b"Require: 100rel\r\n")
    elif status == 422:
        put_text(w, b"Min-SE: ")
        put_decimal(w, L.min_se)
        put_text(w, b"\r\n")
    elif status == 488:
        put_text(w, b"Warning: 302 callwright \"Incompatible transport protocol\"\r\n")


cdef bint keep_invite(Loop *L, uint32_t slot, Call *c, Parsed *m, Address *source, int status) noexcept nogil:
    """Remembers what the responses to an INVITE, and a BYE of ours, are made of. `status`: it is refused so."""
    cdef Writer w
    cdef Span values[MOST_ROUTES * 4]
    cdef int i, count
    cdef Dialog d
    cdef Dialog *kept
    cdef Span target
    cdef uint32_t n
    memset(&d, 0, sizeof(d))
    w.p = L.scratch
    w.end = L.scratch + OUT_SIZE
    w.overflow = False
    put_via_lines(L, &w, m, source)
    for i in range(m.routes):
        put_text(&w, b"Record-Route: ")
        put_span(&w, m.route[i])
        put_text(&w, b"\r\n")
    put_why(L, &w, m, status)
    d.headers.n = <uint32_t>(w.p - L.scratch)
    d.remote.at = d.headers.n
    d.remote.n = m.from_value.n
    put_span(&w, m.from_value)
    d.local.at = <uint32_t>(w.p - L.scratch)
    put_span(&w, m.to_value)
    put_text(&w, b";tag=")
    put_tag(L, &w, slot, c)
    d.local.n = <uint32_t>(w.p - L.scratch) - d.local.at
    d.call_id.at = d.local.at + d.local.n
    d.call_id.n = m.call_id.n
    put_span(&w, m.call_id)
    d.target.at = d.call_id.at + d.call_id.n
    target = address_uri(m.contact_value if m.contact_value.n else m.from_value)
    d.target.n = target.n
    put_span(&w, target)
    d.routes.at = d.target.at + d.target.n
    count = split_routes(m, values, MOST_ROUTES * 4)
    for i in range(count):  # in the order they came (12.1.1)
        put_text(&w, b"Route: ")
        put_span(&w, values[i])
        put_text(&w, b"\r\n")
    d.routes.n = <uint32_t>(w.p - L.scratch) - d.routes.at
    d.cseq = m.cseq
    if w.overflow:
        return False
    reply_address(m, source, &d.peer)
    n = <uint32_t>(w.p - L.scratch)
    kept = <Dialog *>malloc(sizeof(Dialog) + n)
    if kept == NULL:
        return False
    kept[0] = d
    memcpy(<uint8_t *>(kept + 1), L.scratch, n)
    c.dialog = kept
    return True


cdef void answer_now(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    c.state = S_ANSWERED
    c.marked = L.now
    c.repeats = 0
    L.count[C_ESTABLISHED] += 1
    c.setup = <uint32_t>((L.now - c.started) // 1000)
    record(L, H_SETUP, c.setup)
    if c.stream >= 0:
        media_direct(L, c.stream, c.direction)
    will_taken(L, slot, c)
    send_ok(L, slot, c)
    timer_in(L, slot, c, L.t1)
    if c.second != NULL and c.second.interval:
        session_begins(L, slot, c)


cdef void send_ok(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """The answer; without SDP where ours was in a reliable provisional response (RFC 3262 section 5)."""
    send_answer(L, slot, c, 200, T_OK_BARE if c.second != NULL and c.second.offers else T_OK)


cdef void refuse(Loop *L, uint32_t slot, Call *c, int status) noexcept nogil:
    c.state = S_REJECTED
    nothing_open(c)
    c.marked = L.now
    c.repeats = 0
    c.code = <uint16_t>status
    send_answer(L, slot, c, status, T_EMPTY)
    timer_in(L, slot, c, L.wait)


cdef void offered(Loop *L, Call *c, Parsed *m) noexcept nogil:
    """An offer within a call, by re-INVITE or UPDATE: where its audio goes from now on, and whether it goes and is
    due (RFC 3264 section 8)."""
    cdef Audio audio
    cdef int ours
    if m.body.n == 0 or not (c.state == S_ANSWERED or c.state == S_CONFIRMED or c.state == S_TALKING):
        return
    read_audio(m.body, &audio)
    ours = answer_to(audio.direction)
    if ours != c.direction:
        c.direction = <uint8_t>ours
        c.version += 1
    if c.stream >= 0:
        media_again(L, c.stream, m.body, &c.dialog.peer if c.dialog != NULL and not c.dialog.direct else &L.remote)
        media_direct(L, c.stream, ours)


cdef void on_reinvite(Loop *L, Parsed *m, Address *source) noexcept nogil:
    """INVITE to the side that calls: agreed to as it is within a call, else we are busy."""
    cdef uint32_t slot = 0
    cdef bint ours = False
    cdef Span none = span(NULL, NULL)
    cdef Call *c
    if tag_of(m.to_value).n == 0:
        reply(L, m, source, 486, T_EMPTY, span(<const uint8_t *>b"cw0", <const uint8_t *>b"cw0" + 3))
        return
    if not find_dialog(L, m, &slot, &ours):
        reply(L, m, source, 481, T_EMPTY, none)
        return
    c = L.about = call_at(L, slot)
    keep_received(L, c, m)
    if c.state == S_TALKING:
        answer_inside(L, slot, c, m, source)
    elif c.state == S_ENDING or c.state == S_FREE:
        reply(L, m, source, 481, T_EMPTY, none)
    else:
        reply(L, m, source, 491, T_EMPTY, none)  # our own INVITE is not answered (14.2)


cdef void on_invite(Loop *L, Parsed *m, Address *source) noexcept nogil:
    cdef uint64_t key
    cdef uint32_t slot
    cdef Call *c
    cdef int stream
    cdef int status
    cdef Audio audio
    cdef Span none = span(NULL, NULL)
    cdef Span tag = tag_of(m.from_value)
    cdef bint inside = tag_of(m.to_value).n > 0
    if not L.answerer:
        on_reinvite(L, m, source)
        return
    key = mixed(mixed(L.random_seed, m.call_id.p, m.call_id.n), tag.p, tag.n)
    slot = table_find(L, key)
    if slot != NONE:
        L.count[C_REPEATED] += 1
        c = L.about = call_at(L, slot)
        keep_received(L, c, m)
        if inside:
            # In the dialog: agreed to as it is.
            if c.state == S_CONFIRMED or c.state == S_ANSWERED:
                L.count[C_REPEATED] -= 1
                answer_inside(L, slot, c, m, source)
            else:
                reply(L, m, source, 481, T_EMPTY, none)
        elif c.state == S_RINGING and c.second != NULL and c.second.rseq:
            if c.second.owed:
                send_reliable(L, slot, c)
        elif c.state == S_RINGING:
            send_answer(L, slot, c, 180 if L.ringing else 100, T_RINGING if L.ringing else T_EMPTY)
        elif c.state == S_ANSWERED:
            send_ok(L, slot, c)
        elif c.state == S_REJECTED:
            send_answer(L, slot, c, c.code, T_EMPTY)
        return
    if inside:
        reply(L, m, source, 481, T_EMPTY, none)
        return
    if L.stopping or (L.limit and L.count[C_ATTEMPTED] >= L.limit):
        reply(L, m, source, 503, T_EMPTY, span(<const uint8_t *>b"cw0", <const uint8_t *>b"cw0" + 3))
        return
    slot = take_call(L)
    if slot == NONE:
        reply(L, m, source, 503, T_EMPTY, span(<const uint8_t *>b"cw0", <const uint8_t *>b"cw0" + 3))
        return
    c = call_at(L, slot)
    keep_received(L, c, m)
    c.started = L.now
    c.key = key
    c.account = <uint32_t>L.count[C_ATTEMPTED]
    L.count[C_ATTEMPTED] += 1
    L.count[C_ACTIVE] += 1
    if L.count[C_ACTIVE] > L.count[C_PEAK]:
        L.count[C_PEAK] = L.count[C_ACTIVE]
    status = 0 if L.reject else unfit(L, m)
    if not keep_invite(L, slot, c, m, source, status):
        finish(L, slot, c, O_UNEXPECTED, False)
        return
    c.incoming = True
    table_insert(L, slot, c)
    if L.reject or status:
        if status == 422:
            L.count[C_BRIEF] += 1
        elif status == 488:
            L.count[C_ENCRYPTED] += 1
        refuse(L, slot, c, L.reject or status)
        return
    session_asked(L, slot, c, m)
    read_audio(m.body, &audio)
    c.direction = <uint8_t>answer_to(audio.direction)
    if L.has_media:
        stream = media_open(L, slot)
        if stream < 0:
            refuse(L, slot, c, 503)
            c.heard = True  # for want of a port
            return
        c.stream = stream
        media_start(L, stream, m.body, source)
        media_promise(L, stream, m.body, False)
    if L.trying:
        send_answer(L, slot, c, 100, T_EMPTY)
    if L.ringing and (
        m.options & X_REQUIRED_100REL or (L.prack == 2 and m.options & X_SUPPORTED_100REL)
    ):
        c.state = S_RINGING
        ring_reliably(L, slot, c, m)
        if L.ring_time:
            timer_in(L, slot, c, L.ring_time)
        return
    if L.ringing:
        send_answer(L, slot, c, 180, T_RINGING)
    if L.ring_time == 0:
        answer_now(L, slot, c)
    else:
        c.state = S_RINGING
        timer_in(L, slot, c, L.ring_time)


cdef bint find_dialog(Loop *L, Parsed *m, uint32_t *slot, bint *ours) noexcept nogil:
    """The call of an in-dialog request, by the tag or the Call-ID that we made. `ours`: we made the name."""
    cdef uint32_t generation = 0
    cdef Span tag = tag_of(m.to_value)
    cdef const uint8_t *p = tag.p
    ours[0] = False
    if tag.n == 26 and read_id(L, p, p + 26, slot, &generation):
        ours[0] = True
        return slot[0] < L.calls and call_at(L, slot[0]).generation == generation
    p = m.call_id.p
    if m.call_id.n >= 28 and p[0] == 99 and p[1] == 119 and read_id(
        L, p + 2, p + m.call_id.n, slot, &generation
    ):
        ours[0] = True
        return slot[0] < L.calls and call_at(L, slot[0]).generation == generation
    return False


cdef void on_request(Loop *L, Parsed *m, Address *source) noexcept nogil:
    cdef uint32_t slot = 0
    cdef Call *c
    cdef bint ours = False
    cdef Span none = span(NULL, NULL)
    cdef Span tag = span(<const uint8_t *>b"cw0", <const uint8_t *>b"cw0" + 3)
    cdef Span theirs
    if m.method == M_INVITE:
        on_invite(L, m, source)
        return
    if m.method == M_REGISTER:
        if L.answerer:
            on_register(L, m, source, tag)
        else:
            reply(L, m, source, 501, T_EMPTY, tag)
        return
    if m.method == M_CANCEL:
        theirs = tag_of(m.from_value)
        slot = table_find(L, mixed(mixed(L.random_seed, m.call_id.p, m.call_id.n), theirs.p, theirs.n))
        if slot == NONE:
            reply(L, m, source, 481, T_EMPTY, tag)
            return
        c = L.about = call_at(L, slot)
        keep_received(L, c, m)
        reply(L, m, source, 200, T_EMPTY, tag)
        if c.state == S_RINGING:
            refuse(L, slot, c, 487)
        return
    if not find_dialog(L, m, &slot, &ours):
        if m.method == M_ACK:
            L.count[C_STRAY] += 1
        elif m.method == M_BYE and ours:
            # Of a call that has ended here and is forgotten: the 200 was lost.
            L.count[C_REPEATED] += 1
            reply(L, m, source, 200, T_EMPTY, none)
        elif m.method == M_OPTIONS:
            reply(L, m, source, 200, T_EMPTY, tag)
        else:
            reply(L, m, source, 481, T_EMPTY, tag)
        return
    c = L.about = call_at(L, slot)
    keep_received(L, c, m)
    if m.method == M_ACK:
        if c.state == S_ANSWERED:
            c.state = S_CONFIRMED
            c.answered = True
            c.pdd = <uint32_t>((L.now - c.marked) // 1000)
            L.count[C_CONFIRMED] += 1
            clock_off(L, slot, c, W_MAIN)
            if L.stopping == 2:
                say_bye(L, slot, c)
            elif L.hold:
                timer_in(L, slot, c, L.hold)
        elif c.state == S_REJECTED:
            finish(L, slot, c, why_rejected(c, O_STATUS), False)
        elif c.incoming:  # else of a re-INVITE
            L.count[C_REPEATED] += 1
        return
    if m.method == M_BYE:
        if c.state == S_FREE or c.state == S_COMPLETED:
            L.count[C_REPEATED] += 1
            reply(L, m, source, 200, T_EMPTY, none)
            return
        reply(L, m, source, 200, T_EMPTY, none)
        if c.state == S_ANSWERED:
            # BYE before the ACK: the ACK was lost, or overtaken; the caller has our answer.
            c.answered = True
            L.count[C_CONFIRMED] += 1
        if c.state == S_ANSWERED or c.state == S_CONFIRMED or c.state == S_TALKING or c.state == S_ENDING:
            if not c.incoming and c.state != S_ENDING:
                L.count[C_HUNG_UP] += 1
            c.code = 200
            c.hung_up = c.state != S_ENDING
            finish(L, slot, c, O_ANSWERED, False)
        else:
            # Before the answer, BYE ends the INVITE as CANCEL does (15.1.2).
            if c.state == S_RINGING:
                refuse(L, slot, c, 487)
        return
    if c.state == S_FREE:
        reply(L, m, source, 481, T_EMPTY, none)
    elif m.method == M_UPDATE:
        answer_inside(L, slot, c, m, source)
    elif m.method == M_PRACK:
        on_prack(L, slot, c, m, source)
    else:
        reply(L, m, source, 200, T_EMPTY, none)


cdef void on_register(Loop *L, Parsed *m, Address *source, Span tag) noexcept nogil:
    """The registrar of the answering side: challenges once, believes the answer; for loading registrations."""
    L.count[C_REGISTRATIONS] += 1
    if L.template[T_CHALLENGE].segments and m.authorization.n == 0:
        reply(L, m, source, 401, T_CHALLENGE, tag)
    else:
        reply(L, m, source, 200, T_REGISTERED, tag)
