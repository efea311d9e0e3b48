# What every call of the load loop needs: its messages made from templates, and its end, where it is counted.
# Client and server transactions are those of RFC 3261 section 17 with the corrections of RFC 6026, as far as a
# load of whole calls needs them, in one table of calls with one timer each.

cdef struct Filling:
    Call *call
    uint32_t slot
    uint8_t kind                # letter of the branch
    uint32_t cseq
    Span to
    Span challenge
    bint proxy_challenge
    Span uri                    # of the request, for the digest
    Span method
    Span body


cdef inline Span part(Dialog *d, Part x) noexcept nogil:
    cdef const uint8_t *text = <const uint8_t *>(d + 1)
    return span(text + x.at, text + x.at + x.n)


cdef inline Span field_of(Loop *L, uint32_t account, int column) noexcept nogil:
    cdef Part x
    if L.accounts == 0 or column < 0 or <uint32_t>column >= L.columns or account >= L.accounts:
        return span(L.field_text, L.field_text)
    x = L.field_part[account * L.columns + <uint32_t>column]
    return span(L.field_text + x.at, L.field_text + x.at + x.n)


cdef void put_id(Writer *w, Filling *f) noexcept nogil:
    put_hex8(w, f.slot)
    put(w, <const uint8_t *>b"-", 1)
    put_hex8(w, f.call.generation)


cdef inline void fill(Loop *L, Writer *w, int which, Filling *f) noexcept nogil:
    """Writes a message from its template."""
    fill_part(L, w, which, f, L.template[which].segments)


cdef void fill_part(Loop *L, Writer *w, int which, Filling *f, int segments) noexcept nogil:
    cdef Template *t = &L.template[which]
    cdef Segment *s
    cdef Call *c = f.call
    cdef int i, kind
    cdef uint8_t two[4]
    cdef uint8_t cnonce[16]
    cdef uint64_t r
    for i in range(segments):
        s = &t.segment[i]
        kind = s.kind
        if kind == K_LITERAL:
            put(w, t.text + s.at, s.n)
        elif c == NULL:
            w.overflow = True  # nothing of a call in a message that belongs to none
            return
        elif kind == K_ID:
            put_id(w, f)
        elif kind == K_BRANCH:
            put_id(w, f)
            two[0] = 45
            two[1] = f.kind
            two[2] = <uint8_t>HEX[(f.cseq >> 4) & 15]
            two[3] = <uint8_t>HEX[f.cseq & 15]
            put(w, two, 4)
        elif kind == K_CSEQ:
            put_decimal(w, f.cseq)
        elif kind == K_TO:
            put_span(w, f.to)
        elif kind == K_TARGET:
            if c.dialog != NULL:
                put_span(w, part(c.dialog, c.dialog.target))
        elif kind == K_ROUTES:
            if c.dialog != NULL:
                put_span(w, part(c.dialog, c.dialog.routes))
        elif kind == K_LOCAL:
            if c.dialog != NULL:
                put_span(w, part(c.dialog, c.dialog.local))
        elif kind == K_CALL_ID:
            if c.dialog != NULL:
                put_span(w, part(c.dialog, c.dialog.call_id))
        elif kind == K_PORT:
            put_decimal(w, media_port(L, c.stream))
        elif kind == K_SSRC:
            put_decimal(w, media_ssrc(L, c.stream))
        elif kind == K_FIELD:
            put_span(w, field_of(L, c.account, <int>s.at))
        elif kind == K_DIRECTION:
            if c.direction == D_SENDONLY:
                put_text(w, b"sendonly")
            elif c.direction == D_RECVONLY:
                put_text(w, b"recvonly")
            elif c.direction == D_INACTIVE:
                put_text(w, b"inactive")
            else:
                put_text(w, b"sendrecv")
        elif kind == K_VERSION:
            put_decimal(w, FIRST_VERSION + <uint64_t>c.version)
        elif kind == K_RACK:
            if c.second != NULL:
                put_decimal(w, c.second.rseq)
                put(w, <const uint8_t *>b" ", 1)
                put_decimal(w, c.cseq)
                put_text(w, b" INVITE")
        elif kind == K_RSEQ:
            if c.second != NULL:
                put_decimal(w, c.second.rseq)
        elif kind == K_ASKED:
            put_asked(L, w, c)
        elif kind == K_SESSION:
            put_session(w, c)
        elif kind == K_EXPIRES:
            put_decimal(w, c.second.least if c.second != NULL and c.second.least else L.expires)
        elif kind == K_NUMBER:
            put_decimal(w, c.account)
        elif kind == K_AUTHORIZATION:
            if f.challenge.n:
                # The same in a repeat of the request, which has to be the same octets (17.1.2.2).
                r = mixed(L.random_seed, <const uint8_t *>&c.generation, 4) ^ mixed(
                    L.random_seed, <const uint8_t *>&f.slot, 4
                )
                for kind in range(16):
                    cnonce[kind] = <uint8_t>HEX[(r >> (4 * kind)) & 15]
                if not write_authorization(
                    w, f.challenge, f.proxy_challenge, field_of(L, c.account, L.user_column),
                    field_of(L, c.account, L.password_column), f.method, f.uri, cnonce, f.body
                ):
                    w.overflow = True


cdef void send_request(Loop *L, int which, uint32_t slot, Call *c, uint8_t kind, uint32_t cseq) noexcept nogil:
    """A request of the caller, or of the answering side inside its dialog."""
    cdef Filling f
    cdef Writer w
    cdef uint8_t *start
    memset(&f, 0, sizeof(f))
    L.speaker = slot + 1 if L.per_call else 0
    f.call = c
    f.slot = slot
    f.kind = kind
    f.cseq = cseq
    if c.dialog != NULL:
        f.to = part(c.dialog, c.dialog.remote)
    begin_message(L, &w)
    fill(L, &w, which, &f)
    keep_sent(L, c, &w)
    if which == T_INVITE and L.wills_fd >= 0 and not w.overflow:
        start = L.out_data + L.out_n * OUT_SIZE
        will_called(L, slot, c, start, <size_t>(w.p - start))
    if c.dialog != NULL and not c.dialog.direct and which != T_CANCEL:  # of an early dialog
        send_message(L, &w, &c.dialog.peer)
    else:
        send_message(L, &w, NULL)


cdef bint keep_challenge(Call *c, Parsed *m) noexcept nogil:
    """The challenge stays until there is a dialog, since the answer to it may have to be repeated."""
    cdef Dialog *d
    if not answerable(m.challenge):
        return False  # a hash that is not known here: the refusal stands
    d = <Dialog *>malloc(sizeof(Dialog) + m.challenge.n)
    if d == NULL:
        return False
    memset(d, 0, sizeof(Dialog))
    memcpy(<uint8_t *>(d + 1), m.challenge.p, m.challenge.n)
    d.headers.n = m.challenge.n
    d.direct = True
    d.cseq = m.proxy_challenge
    if c.dialog != NULL:
        free(c.dialog)
    c.dialog = d
    return True


cdef bint keep_challenge_of_bye(Call *c, Parsed *m) noexcept nogil:
    """Beside what the dialog knows, since the BYE may have to be repeated."""
    cdef Dialog *old = c.dialog
    cdef Dialog *d
    cdef uint32_t n
    if old == NULL or not answerable(m.challenge):
        return False
    n = text_size(old)
    d = <Dialog *>malloc(sizeof(Dialog) + n + m.challenge.n)
    if d == NULL:
        return False
    d[0] = old[0]
    memcpy(<uint8_t *>(d + 1), <uint8_t *>(old + 1), n)
    memcpy(<uint8_t *>(d + 1) + n, m.challenge.p, m.challenge.n)
    d.challenge.at = n
    d.challenge.n = m.challenge.n
    d.proxy = m.proxy_challenge
    c.dialog = d
    free(old)
    return True


cdef inline uint32_t text_size(Dialog *d) noexcept nogil:
    """Octets of the text behind a dialog."""
    cdef uint32_t n = d.headers.at + d.headers.n
    n = max(n, d.remote.at + d.remote.n)
    n = max(n, d.local.at + d.local.n)
    n = max(n, d.call_id.at + d.call_id.n)
    n = max(n, d.target.at + d.target.n)
    return max(n, d.routes.at + d.routes.n)


cdef void send_bye(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """BYE of a call, with the answer to a challenge where it was asked for one; the same octets each time."""
    if c.incoming:
        send_request(L, T_HANGUP, slot, c, 98, bye_cseq(c))
    elif c.dialog != NULL and c.dialog.challenge.n:
        send_authorized(L, T_BYE, slot, c, 98, bye_cseq(c), b"BYE", part(c.dialog, c.dialog.challenge), c.dialog.proxy)
    else:
        send_request(L, T_BYE, slot, c, 98, bye_cseq(c))


cdef inline uint32_t bye_cseq(Call *c) noexcept nogil:
    """One more than of any other request within the dialog; of a call that came in, 1."""
    return last_cseq(c) + (2 if c.dialog != NULL and c.dialog.challenge.n else 1)


cdef inline uint32_t last_cseq(Call *c) noexcept nogil:
    if c.second != NULL and c.second.cseq > c.cseq:
        return c.second.cseq
    return c.cseq


cdef void send_with_credentials(
    Loop *L, int which, uint32_t slot, Call *c, uint8_t kind, const char *method
) noexcept nogil:
    """The request again, with the answer to the challenge that was kept in place of a dialog."""
    send_authorized(
        L, which, slot, c, kind, c.cseq, method, part(c.dialog, c.dialog.headers), c.dialog.cseq != 0
    )


cdef void send_authorized(
    Loop *L, int which, uint32_t slot, Call *c, uint8_t kind, uint32_t cseq, const char *method, Span challenge,
    bint proxy
) noexcept nogil:
    """A request with the answer to a challenge; request-URI and body are read from the message itself."""
    cdef Filling f
    cdef Writer w, probe
    cdef uint8_t *start
    cdef const uint8_t *q
    cdef const uint8_t *p
    memset(&f, 0, sizeof(f))
    L.speaker = slot + 1 if L.per_call else 0
    f.call = c
    f.slot = slot
    f.kind = kind
    f.cseq = cseq
    if c.dialog != NULL:
        f.to = part(c.dialog, c.dialog.remote)
    f.method = span(<const uint8_t *>method, <const uint8_t *>method + strlen(method))
    # The start line comes first in every template, so its URI can be read once it is written.
    probe.p = L.scratch
    probe.end = L.scratch + OUT_SIZE
    probe.overflow = False
    fill_part(
        L, &probe, which, &f, L.template[which].segments if wants_body(challenge) else L.template[which].opening
    )
    p = <const uint8_t *>memchr(L.scratch, 32, <size_t>(probe.p - L.scratch))
    if p == NULL:
        return
    q = <const uint8_t *>memchr(p + 1, 32, <size_t>(probe.p - p - 1))
    if q == NULL:
        return
    f.uri = span(p + 1, q)
    q = <const uint8_t *>memmem(L.scratch, <size_t>(probe.p - L.scratch), <const char *>b"\r\n\r\n", 4)
    if q != NULL:
        f.body = span(q + 4, probe.p)
    f.challenge = challenge
    f.proxy_challenge = proxy
    begin_message(L, &w)
    fill(L, &w, which, &f)
    keep_sent(L, c, &w)
    if which == T_INVITE and L.wills_fd >= 0 and not w.overflow:
        start = L.out_data + L.out_n * OUT_SIZE
        will_called(L, slot, c, start, <size_t>(w.p - start))
    if which != T_INVITE and which != T_REGISTER and not c.dialog.direct:
        send_message(L, &w, &c.dialog.peer)
    else:
        send_message(L, &w, NULL)


cdef void send_failed_ack(Loop *L, uint32_t slot, Call *c, uint32_t cseq, Span to) noexcept nogil:
    """ACK of a final response other than 2xx: the branch of the INVITE, To of the response (17.1.1.3)."""
    cdef Filling f
    cdef Writer w
    memset(&f, 0, sizeof(f))
    L.speaker = slot + 1 if L.per_call else 0
    f.call = c
    f.slot = slot
    f.kind = 105  # i
    f.cseq = cseq
    f.to = to
    begin_message(L, &w)
    fill(L, &w, T_ACK_FAILED, &f)
    keep_sent(L, c, &w)
    send_message(L, &w, NULL)


# -- the end of a call, where it is counted


cdef void note(Loop *L, uint32_t slot, Call *c, int outcome, int mos) noexcept nogil:
    describe(L, &L.notable[L.notables & (NOTABLE - 1)], slot, c, outcome, mos)
    L.notables += 1


cdef void describe(Loop *L, Notable *n, uint32_t slot, Call *c, int outcome, int mos) noexcept nogil:
    n.at = L.now - L.began
    n.number = slot
    n.account = c.account
    n.pdd = c.pdd
    n.setup = c.setup
    n.mos = mos
    n.code = c.code
    n.outcome = <uint8_t>outcome


cdef void finish(Loop *L, uint32_t slot, Call *c, int outcome, bint keep) noexcept nogil:
    """Counts the call once, and gives its memory back unless `keep` lets it answer repeats."""
    cdef int mos = -1, unheard = 0
    will_over(L, slot)
    if c.stream >= 0:
        mos = media_close(L, c.stream, c.hung_up)
        c.stream = -1
        if mos == 0:
            mos = -1
            unheard = O_NO_MEDIA
        elif mos < -1:
            mos += UNHEARD
            unheard = O_MEDIA_GAPS
        if unheard and outcome == O_ANSWERED and not c.stopped:
            outcome = unheard
    if outcome == O_ANSWERED and c.late:
        outcome = O_NO_ANSWER
    if c.second != NULL:
        if c.second.expired and (outcome == O_ANSWERED or outcome == O_BYE_TIMEOUT):
            outcome = O_EXPIRED
        nothing_open(c)
    L.count[C_ANSWERED + outcome] += 1
    if outcome == O_STATUS and c.code < CODES:
        L.codes[c.code] += 1
    if L.kept != NULL and (outcome > O_CANCELED or c.setup > L.slowest):
        keep_call(L, slot, c, outcome, mos)
    if outcome > O_CANCELED or c.setup > L.notable_pdd or (mos >= 0 and mos < L.m.notable_mos):
        note(L, slot, c, outcome, mos)
    L.count[C_ACTIVE] -= 1
    if keep:
        return
    give_call(L, slot, c)
