# What happens to a call: the client and server transactions of RFC 3261 section 17 with the corrections of
# RFC 6026, as far as a load of whole calls needs them, in one table of calls with one timer each.

# Templates, in the order of callwright.net.loading.MESSAGES.
cdef enum:
    T_INVITE = 0
    T_ACK = 1
    T_ACK_FAILED = 2
    T_BYE = 3
    T_CANCEL = 4
    T_REGISTER = 5
    T_RINGING = 6               # what follows the copied headers in a response of ours
    T_OK = 7
    T_EMPTY = 8
    T_HANGUP = 9                # BYE from the side that answered
    T_CHALLENGE = 10            # 401 of the registrar role
    T_REGISTERED = 11

# Kinds of segments, in the order of callwright.net.loading.SLOTS.
cdef enum:
    K_LITERAL = 0
    K_ID = 1
    K_BRANCH = 2
    K_CSEQ = 3
    K_TO = 4
    K_TARGET = 5
    K_ROUTES = 6
    K_PORT = 7
    K_SSRC = 8
    K_FIELD = 9
    K_AUTHORIZATION = 10
    K_NUMBER = 11
    K_LOCAL = 12
    K_CALL_ID = 13
    K_TAG = 14

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
                    field_of(L, c.account, L.password_column), f.method, f.uri, cnonce
                ):
                    w.overflow = True


cdef void send_request(Loop *L, int which, uint32_t slot, Call *c, uint8_t kind, uint32_t cseq) noexcept nogil:
    """A request of the caller, or of the answering side inside its dialog."""
    cdef Filling f
    cdef Writer w
    memset(&f, 0, sizeof(f))
    f.call = c
    f.slot = slot
    f.kind = kind
    f.cseq = cseq
    if c.dialog != NULL:
        f.to = part(c.dialog, c.dialog.remote)
    begin_message(L, &w)
    fill(L, &w, which, &f)
    if c.dialog != NULL and not c.dialog.direct:
        send_message(L, &w, &c.dialog.peer)
    else:
        send_message(L, &w, NULL)


cdef bint keep_challenge(Call *c, Parsed *m) noexcept nogil:
    """The challenge stays until there is a dialog, since the answer to it may have to be repeated."""
    cdef Dialog *d = <Dialog *>malloc(sizeof(Dialog) + m.challenge.n)
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


cdef void send_with_credentials(
    Loop *L, int which, uint32_t slot, Call *c, uint8_t kind, const char *method
) noexcept nogil:
    """The request again, with the answer to the challenge; the request-URI is read from the message itself."""
    cdef Filling f
    cdef Writer w, probe
    cdef const uint8_t *q
    cdef const uint8_t *p
    memset(&f, 0, sizeof(f))
    f.call = c
    f.slot = slot
    f.kind = kind
    f.cseq = c.cseq
    f.method = span(<const uint8_t *>method, <const uint8_t *>method + strlen(method))
    # The start line comes first in every template, so its URI can be read once it is written.
    probe.p = L.scratch
    probe.end = L.scratch + OUT_SIZE
    probe.overflow = False
    fill_part(L, &probe, which, &f, L.template[which].opening)
    p = <const uint8_t *>memchr(L.scratch, 32, <size_t>(probe.p - L.scratch))
    if p == NULL:
        return
    q = <const uint8_t *>memchr(p + 1, 32, <size_t>(probe.p - p - 1))
    if q == NULL:
        return
    f.uri = span(p + 1, q)
    f.challenge = part(c.dialog, c.dialog.headers)
    f.proxy_challenge = c.dialog.cseq != 0
    begin_message(L, &w)
    fill(L, &w, which, &f)
    send_message(L, &w, NULL)


cdef void send_failed_ack(Loop *L, uint32_t slot, Call *c, uint32_t cseq, Span to) noexcept nogil:
    """ACK of a final response other than 2xx: the branch of the INVITE, To of the response (17.1.1.3)."""
    cdef Filling f
    cdef Writer w
    memset(&f, 0, sizeof(f))
    f.call = c
    f.slot = slot
    f.kind = 105  # i
    f.cseq = cseq
    f.to = to
    begin_message(L, &w)
    fill(L, &w, T_ACK_FAILED, &f)
    send_message(L, &w, NULL)


# -- the end of a call, where it is counted


cdef void note(Loop *L, uint32_t slot, Call *c, int outcome, int mos) noexcept nogil:
    cdef Notable *n = &L.notable[L.notables & (NOTABLE - 1)]
    n.at = L.now - L.began
    n.number = slot
    n.account = c.account
    n.pdd = c.pdd
    n.setup = c.setup
    n.mos = mos
    n.code = c.code
    n.outcome = <uint8_t>outcome
    L.notables += 1


cdef void finish(Loop *L, uint32_t slot, Call *c, int outcome, bint keep) noexcept nogil:
    """Counts the call once, and gives its memory back unless `keep` lets it answer repeats."""
    cdef int mos = -1
    if c.stream >= 0:
        mos = media_close(L, c.stream)
        c.stream = -1
        if mos == 0:
            mos = -1
            if outcome == O_ANSWERED and not c.stopped:
                outcome = O_NO_MEDIA
    L.count[C_OUTCOME + outcome] += 1
    if outcome == O_STATUS and c.code < CODES:
        L.codes[c.code] += 1
    if outcome > O_CANCELED or c.setup > L.notable_pdd or (mos >= 0 and mos < L.m.notable_mos):
        note(L, slot, c, outcome, mos)
    L.count[C_ACTIVE] -= 1
    if keep:
        return
    give_call(L, slot, c)


# -- the caller


cdef bint start_call(Loop *L) noexcept nogil:
    cdef uint32_t slot = take_call(L)
    cdef Call *c
    cdef int stream
    if slot == NONE:
        return False
    c = call_at(L, slot)
    c.started = L.now
    c.marked = L.now
    c.cseq = 1
    if L.accounts:
        if L.random_account:
            c.account = <uint32_t>(next_random(L) % L.accounts)
        else:
            c.account = L.next_account
            L.next_account += 1
            if L.next_account >= L.accounts:
                L.next_account = 0
    else:
        c.account = <uint32_t>L.count[C_ATTEMPTED]
    c.hold = L.hold
    if L.hold_spread:
        c.hold += <uint32_t>(next_random(L) % (L.hold_spread + 1))
    L.count[C_ATTEMPTED] += 1
    L.count[C_ACTIVE] += 1
    if L.count[C_ACTIVE] > L.count[C_PEAK]:
        L.count[C_PEAK] = L.count[C_ACTIVE]
    if L.registering:
        c.state = S_REGISTERING
        send_request(L, T_REGISTER, slot, c, 114, c.cseq)
    else:
        if L.has_media:
            stream = media_open(L, slot)
            if stream < 0:
                finish(L, slot, c, O_NO_PORT, False)
                return True
            c.stream = stream
        c.state = S_CALLING
        send_request(L, T_INVITE, slot, c, 105, c.cseq)
    timer_in(L, slot, c, L.t1)
    return True


cdef void say_bye(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    c.state = S_ENDING
    c.repeats = 0
    c.marked = L.now
    if c.stream >= 0:
        media_stop(L, c.stream)
    if c.incoming:
        send_request(L, T_HANGUP, slot, c, 98, 1)
    else:
        send_request(L, T_BYE, slot, c, 98, c.cseq + 1)
    timer_in(L, slot, c, L.t1)


cdef void say_cancel(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    c.state = S_CANCELING
    c.repeats = 0
    c.marked = L.now
    send_request(L, T_CANCEL, slot, c, 105, c.cseq)
    timer_in(L, slot, c, L.t1)


cdef bint store_dialog(Loop *L, Call *c, Parsed *m) noexcept nogil:
    """Remembers what ACK and BYE need: To with its tag, remote target, route set in reverse order (12.1.2)."""
    cdef uint8_t room[OUT_SIZE]
    cdef Writer w
    cdef Span values[MOST_ROUTES * 4]
    cdef Dialog *d
    cdef Span target
    cdef int count, i
    cdef uint32_t n
    target = address_uri(m.contact_value)
    if target.n == 0:
        return False
    count = split_routes(m, values, MOST_ROUTES * 4)
    w.p = room
    w.end = room + sizeof(room)
    w.overflow = False
    put_span(&w, m.to_value)
    put_span(&w, target)
    for i in range(count):
        put_text(&w, b"Route: ")
        put_span(&w, values[count - 1 - i])
        put_text(&w, b"\r\n")
    if w.overflow:
        return False
    n = <uint32_t>(w.p - room)
    d = <Dialog *>malloc(sizeof(Dialog) + n)
    if d == NULL:
        return False
    memset(d, 0, sizeof(Dialog))
    memcpy(<uint8_t *>(d + 1), room, n)
    d.remote.at = 0
    d.remote.n = m.to_value.n
    d.target.at = m.to_value.n
    d.target.n = target.n
    d.routes.at = m.to_value.n + target.n
    d.routes.n = n - d.routes.at
    d.direct = not next_hop(L, address_uri(values[count - 1]) if count else target, &d.peer)
    if c.dialog != NULL:
        free(c.dialog)
    c.dialog = d
    return True


cdef int split_routes(Parsed *m, Span *values, int most) noexcept nogil:
    """Every Record-Route value in order; commas inside quotes and `<>` do not part them."""
    cdef int i, count = 0
    cdef const uint8_t *p
    cdef const uint8_t *end
    cdef const uint8_t *start
    cdef bint quoted, angled
    for i in range(m.routes):
        p = m.route[i].p
        end = p + m.route[i].n
        start = p
        quoted = angled = False
        while p <= end:
            if p == end or (p[0] == 44 and not quoted and not angled):
                if count < most and trimmed(start, p).n:
                    values[count] = trimmed(start, p)
                    count += 1
                start = p + 1
            elif p[0] == 34:
                quoted = not quoted
            elif not quoted and p[0] == 60:
                angled = True
            elif not quoted and p[0] == 62:
                angled = False
            p += 1
    return count


cdef bint permitted(Loop *L, Address *a) noexcept nogil:
    """Whether an in-dialog request may go there: a callee must not send our load to a stranger."""
    cdef uint8_t six[16]
    cdef int i, bits, whole
    cdef uint8_t *network
    cdef sockaddr_in *four
    cdef uint8_t mask
    if a.size == sizeof(sockaddr_in):
        four = <sockaddr_in *>&a.raw[0]
        memset(six, 0, 10)
        six[10] = six[11] = 0xFF
        memcpy(six + 12, &four.sin_addr, 4)
    else:
        memcpy(six, &(<sockaddr_in6 *>&a.raw[0]).sin6_addr, 16)
    for i in range(L.network_count):
        network = L.networks + 17 * i
        bits = network[0]
        whole = bits >> 3
        if memcmp(six, network + 1, whole) != 0:
            continue
        if bits & 7:
            mask = <uint8_t>(0xFF00 >> (bits & 7))
            if (six[whole] & mask) != (network[1 + whole] & mask):
                continue
        return True
    return False


cdef bint next_hop(Loop *L, Span uri, Address *out) noexcept nogil:
    """True with an address other than the target's, where the host is numeric and permitted."""
    cdef uint8_t host[64]
    cdef const uint8_t *p = uri.p
    cdef const uint8_t *end = uri.p + uri.n
    cdef const uint8_t *start
    cdef const uint8_t *q
    cdef uint32_t port = 0, n
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    memset(out, 0, sizeof(Address))
    q = <const uint8_t *>memchr(p, 58, <size_t>(end - p))  # after the scheme
    if q == NULL:
        return False
    p = q + 1
    start = p
    while p < end and p[0] != 59 and p[0] != 63 and p[0] != 62:
        if p[0] == 64:
            start = p + 1
        p += 1
    end = p
    p = start
    if p < end and p[0] == 91:  # [
        start = p + 1
        while p < end and p[0] != 93:
            p += 1
        q = p
        if p < end:
            p += 1
    else:
        while p < end and p[0] != 58:
            p += 1
        q = p
    if p < end and p[0] == 58:
        if number(span(p + 1, end), &port) == 0 or port > 65535:
            return False
    n = <uint32_t>(q - start)
    if n == 0 or n > 63:
        return False
    memcpy(host, start, n)
    host[n] = 0
    if port == 0:
        port = 5060
    memset(&four, 0, sizeof(four))
    memset(&six, 0, sizeof(six))
    if inet_pton(AF_INET, <char *>host, &four.sin_addr) == 1:
        four.sin_family = AF_INET
        four.sin_port = htons(<uint16_t>port)
        memcpy(out.raw, &four, sizeof(four))
        out.size = sizeof(four)
    elif inet_pton(AF_INET6, <char *>host, &six.sin6_addr) == 1:
        six.sin6_family = AF_INET6
        six.sin6_port = htons(<uint16_t>port)
        memcpy(out.raw, &six, sizeof(six))
        out.size = sizeof(six)
    else:
        return False
    if out.size == L.remote.size:
        if memcmp(out.raw, L.remote.raw, 8 if out.size == sizeof(four) else 28) == 0:
            return False
    elif L.remote.size:
        return False
    return permitted(L, out)


cdef void answered_by_peer(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """The first 2xx of an INVITE."""
    cdef bint usable
    c.answered = True
    c.code = <uint16_t>m.status
    c.setup = <uint32_t>((L.now - c.started) // 1000)
    if not c.heard:
        c.heard = True
        c.pdd = c.setup
        record(L, H_PDD, c.pdd)
    record(L, H_SETUP, c.setup)
    L.count[C_ESTABLISHED] += 1
    usable = tag_of(m.to_value).n > 0 and store_dialog(L, c, m)
    if not usable:
        # Without tag or Contact there is no dialog to acknowledge or to end.
        c.code = <uint16_t>m.status
        finish(L, slot, c, O_UNEXPECTED, False)
        return
    send_request(L, T_ACK, slot, c, 97, c.cseq)
    if c.state == S_CANCELING or c.stopped:
        say_bye(L, slot, c)
        return
    if c.stream >= 0:
        # Answered without audio that we could send, the call goes on: it is judged by what comes in.
        media_start(L, c.stream, m.body, &L.remote)
        media_send(L, c.stream)
    if c.hold == 0:
        say_bye(L, slot, c)
        return
    c.state = S_TALKING
    timer_in(L, slot, c, c.hold)


cdef void on_invite_response(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    cdef int state = c.state
    if m.cseq != c.cseq:
        # Of the INVITE before the credentials: its ACK may have been lost.
        if m.status >= 300 and m.cseq < c.cseq:
            L.count[C_REPEATED] += 1
            send_failed_ack(L, slot, c, m.cseq, m.to_value)
        else:
            L.count[C_STRAY] += 1
        return
    if m.status < 200:
        if state == S_CALLING:
            c.state = S_PROCEEDING
            if c.stopped:
                say_cancel(L, slot, c)
            elif L.cancel_after:
                timer_in(L, slot, c, L.cancel_after)
            else:
                timer_in(L, slot, c, L.ring_for)
        elif state != S_PROCEEDING and state != S_CANCELING:
            L.count[C_STRAY] += 1
            return
        if m.status > 100 and not c.heard:
            c.heard = True
            c.pdd = <uint32_t>((L.now - c.started) // 1000)
            record(L, H_PDD, c.pdd)
        return
    if m.status < 300:
        if state == S_CALLING or state == S_PROCEEDING or state == S_CANCELING:
            answered_by_peer(L, slot, c, m)
        elif c.answered and c.dialog != NULL:
            # Repeated, so our ACK was lost.
            L.count[C_REPEATED] += 1
            send_request(L, T_ACK, slot, c, 97, c.cseq)
        else:
            L.count[C_STRAY] += 1
        return
    if state == S_COMPLETED:
        L.count[C_REPEATED] += 1
        send_failed_ack(L, slot, c, m.cseq, m.to_value)
        return
    if state != S_CALLING and state != S_PROCEEDING and state != S_CANCELING:
        L.count[C_STRAY] += 1
        return
    send_failed_ack(L, slot, c, m.cseq, m.to_value)
    if m.retry_after >= 0:
        L.count[C_RETRY_AFTER] += 1
        if <uint64_t>m.retry_after > L.count[C_RETRY_AFTER_MAX]:
            L.count[C_RETRY_AFTER_MAX] = <uint64_t>m.retry_after
    if (m.status == 401 or m.status == 407) and L.user_column >= 0 and not c.tried and state != S_CANCELING:
        if m.challenge.n and not c.stopped and keep_challenge(c, m):
            c.tried = True
            c.cseq += 1
            c.repeats = 0
            c.state = S_CALLING
            c.marked = L.now
            L.count[C_CHALLENGED] += 1
            send_with_credentials(L, T_INVITE, slot, c, 105, b"INVITE")
            timer_in(L, slot, c, L.t1)
            return
    c.code = <uint16_t>m.status
    c.state = S_COMPLETED
    timer_in(L, slot, c, L.timeout)  # Timer D, at least 32 s
    if state == S_CANCELING and m.status == 487:
        finish(L, slot, c, O_CANCELED if c.stopped or L.cancel_after else O_NO_ANSWER, True)
    else:
        finish(L, slot, c, O_STATUS, True)


cdef void on_bye_response(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    if c.state != S_ENDING:
        L.count[C_STRAY if c.state != S_FREE else C_REPEATED] += 1
        return
    if m.status < 200:
        return
    record(L, H_BYE, (L.now - c.marked) // 1000)
    c.code = <uint16_t>m.status
    # 481 means that both hung up at once; the call is over either way.
    if m.status < 300 or m.status == 481 or m.status == 408:
        if c.incoming and not c.answered:
            finish(L, slot, c, O_NO_ACK, False)
        else:
            finish(L, slot, c, O_ANSWERED, False)
    else:
        finish(L, slot, c, O_STATUS, False)


cdef void on_register_response(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    if c.state != S_REGISTERING or m.cseq != c.cseq:
        L.count[C_REPEATED] += 1
        return
    if m.status < 200:
        return
    if (m.status == 401 or m.status == 407) and not c.tried and L.user_column >= 0 and keep_challenge(c, m):
        c.tried = True
        c.cseq += 1
        c.repeats = 0
        c.marked = L.now
        L.count[C_CHALLENGED] += 1
        send_with_credentials(L, T_REGISTER, slot, c, 114, b"REGISTER")
        timer_in(L, slot, c, L.t1)
        return
    if m.retry_after >= 0:
        L.count[C_RETRY_AFTER] += 1
        if <uint64_t>m.retry_after > L.count[C_RETRY_AFTER_MAX]:
            L.count[C_RETRY_AFTER_MAX] = <uint64_t>m.retry_after
    c.code = <uint16_t>m.status
    if m.status < 300:
        c.setup = <uint32_t>((L.now - c.started) // 1000)
        record(L, H_REGISTER, c.setup)
        L.count[C_REGISTERED] += 1
        finish(L, slot, c, O_ANSWERED, False)
    else:
        finish(L, slot, c, O_STATUS, False)


cdef bint read_id(Loop *L, const uint8_t *p, const uint8_t *end, uint32_t *slot, uint32_t *generation) noexcept nogil:
    """Reads `ssssssss-nnnnnnnn-gggggggg`: our salt, the slot, its generation."""
    cdef uint32_t salt = 0
    if end - p < 26 or p[8] != 45 or p[17] != 45:
        return False
    if not (hex8(p, &salt) and hex8(p + 9, slot) and hex8(p + 18, generation)):
        return False
    return salt == L.salt


cdef void on_response(Loop *L, Parsed *m) noexcept nogil:
    """A response belongs to the request whose branch it bears (17.1.3); the branch says which call."""
    cdef uint32_t slot = 0, generation = 0
    cdef Call *c
    cdef const uint8_t *p = m.branch.p
    if (
        m.branch.n != 37
        or memcmp(p, <const char *>b"z9hG4bK", 7) != 0
        or not read_id(L, p + 7, p + m.branch.n, &slot, &generation)
        or slot >= L.calls
    ):
        L.count[C_STRAY] += 1
        return
    c = call_at(L, slot)
    if c.generation != generation:
        L.count[C_STRAY] += 1
        return
    if m.method == M_INVITE:
        on_invite_response(L, slot, c, m)
    elif m.method == M_BYE:
        on_bye_response(L, slot, c, m)
    elif m.method == M_REGISTER:
        on_register_response(L, slot, c, m)
    elif m.method != M_CANCEL:
        L.count[C_STRAY] += 1


# -- the answering side


cdef void put_via_lines(Loop *L, Writer *w, Parsed *m, Address *source) noexcept nogil:
    """Via as it came, with received and rport in the topmost where they are due (18.2.1, RFC 3581)."""
    cdef int i
    cdef char host[64]
    cdef const uint8_t *p
    cdef const uint8_t *end
    cdef const uint8_t *comma
    cdef uint16_t port
    for i in range(m.vias):
        put_text(w, b"Via: ")
        if i == 0 and m.has_rport:
            p = m.via[0].p
            end = p + m.via[0].n
            # Up to ";rport", the value, and the rest.
            comma = p
            while comma + 6 <= end and not (
                comma[0] == 59 and same(span(comma + 1, comma + 6), <const char *>b"rport", 5)
                and (comma + 6 == end or comma[6] == 59 or comma[6] == 44 or is_space(comma[6]))
            ):
                comma += 1
            if comma + 6 <= end:
                put(w, p, <size_t>(comma + 6 - p))
                port = ntohs((<sockaddr_in *>&source.raw[0]).sin_port)
                put(w, <const uint8_t *>b"=", 1)
                put_decimal(w, port)
                put_text(w, b";received=")
                if source.size == sizeof(sockaddr_in):
                    inet_ntop(AF_INET, &(<sockaddr_in *>&source.raw[0]).sin_addr, host, 64)
                else:
                    inet_ntop(AF_INET6, &(<sockaddr_in6 *>&source.raw[0]).sin6_addr, host, 64)
                put_text(w, host)
                put(w, comma + 6, <size_t>(end - comma - 6))
                put_text(w, b"\r\n")
                continue
        put_span(w, m.via[i])
        put_text(w, b"\r\n")


cdef void reply_address(Parsed *m, Address *source, Address *to) noexcept nogil:
    """Where a response goes: to the source with rport, else to the source's host and the port of Via (18.2.2)."""
    cdef const uint8_t *p = m.sent_by.p
    cdef const uint8_t *end = m.sent_by.p + m.sent_by.n
    cdef uint32_t port = 5060, v = 0
    to[0] = source[0]
    if m.has_rport:
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
    elif status == 481:
        put_text(w, b"SIP/2.0 481 Call/Transaction Does Not Exist\r\n")
    elif status == 486:
        put_text(w, b"SIP/2.0 486 Busy Here\r\n")
    elif status == 487:
        put_text(w, b"SIP/2.0 487 Request Terminated\r\n")
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
    send_message(L, &w, &d.peer)


cdef void put_tag(Loop *L, Writer *w, uint32_t slot, Call *c) noexcept nogil:
    put_hex8(w, L.salt)
    put(w, <const uint8_t *>b"-", 1)
    put_hex8(w, slot)
    put(w, <const uint8_t *>b"-", 1)
    put_hex8(w, c.generation)


cdef bint keep_invite(Loop *L, uint32_t slot, Call *c, Parsed *m, Address *source) noexcept nogil:
    """Remembers what the responses to an INVITE, and a BYE of ours, are made of."""
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
        media_send(L, c.stream)
    send_answer(L, slot, c, 200, T_OK)
    timer_in(L, slot, c, L.t1)


cdef void refuse(Loop *L, uint32_t slot, Call *c, int status) noexcept nogil:
    c.state = S_REJECTED
    c.marked = L.now
    c.repeats = 0
    c.code = <uint16_t>status
    send_answer(L, slot, c, status, T_EMPTY)
    timer_in(L, slot, c, L.t1)


cdef void on_invite(Loop *L, Parsed *m, Address *source) noexcept nogil:
    cdef uint64_t key
    cdef uint32_t slot
    cdef Call *c
    cdef int stream
    cdef Span none = span(NULL, NULL)
    cdef Span tag = tag_of(m.from_value)
    cdef bint inside = tag_of(m.to_value).n > 0
    if not L.answerer:
        reply(L, m, source, 486, T_EMPTY, span(<const uint8_t *>b"cw0", <const uint8_t *>b"cw0" + 3))
        return
    key = mixed(mixed(L.random_seed, m.call_id.p, m.call_id.n), tag.p, tag.n)
    slot = table_find(L, key)
    if slot != NONE:
        L.count[C_REPEATED] += 1
        c = call_at(L, slot)
        if inside:
            # In the dialog: agreed to as it is.
            if c.state == S_CONFIRMED or c.state == S_ANSWERED:
                L.count[C_REPEATED] -= 1
                c.dialog.cseq = m.cseq
                reply_in(L, m, source, 200, T_OK, none, slot)
            else:
                reply(L, m, source, 481, T_EMPTY, none)
        elif c.state == S_RINGING:
            send_answer(L, slot, c, 180 if L.ringing else 100, T_RINGING if L.ringing else T_EMPTY)
        elif c.state == S_ANSWERED:
            send_answer(L, slot, c, 200, T_OK)
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
    c.started = L.now
    c.key = key
    c.account = <uint32_t>L.count[C_ATTEMPTED]
    L.count[C_ATTEMPTED] += 1
    L.count[C_ACTIVE] += 1
    if L.count[C_ACTIVE] > L.count[C_PEAK]:
        L.count[C_PEAK] = L.count[C_ACTIVE]
    if not keep_invite(L, slot, c, m, source):
        finish(L, slot, c, O_UNEXPECTED, False)
        return
    c.incoming = True
    table_insert(L, slot, c)
    if L.reject:
        refuse(L, slot, c, L.reject)
        return
    if L.has_media:
        stream = media_open(L, slot)
        if stream < 0:
            refuse(L, slot, c, 503)
            c.heard = True  # for want of a port
            return
        c.stream = stream
        media_start(L, stream, m.body, source)
    if L.trying:
        send_answer(L, slot, c, 100, T_EMPTY)
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
        c = call_at(L, slot)
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
    c = call_at(L, slot)
    if m.method == M_ACK:
        if c.state == S_ANSWERED:
            c.state = S_CONFIRMED
            c.answered = True
            c.pdd = <uint32_t>((L.now - c.marked) // 1000)
            L.count[C_CONFIRMED] += 1
            timer_off(L, slot, c)
            if L.stopping == 2:
                say_bye(L, slot, c)
            elif L.hold:
                timer_in(L, slot, c, L.hold)
        elif c.state == S_REJECTED:
            if c.code == 487:
                finish(L, slot, c, O_CANCELED, False)
            elif c.heard:
                finish(L, slot, c, O_NO_PORT, False)
            else:
                finish(L, slot, c, O_STATUS, False)
        else:
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
            finish(L, slot, c, O_ANSWERED, False)
        else:
            # Before the answer, BYE ends the INVITE as CANCEL does (15.1.2).
            if c.state == S_RINGING:
                refuse(L, slot, c, 487)
        return
    reply(L, m, source, 200 if c.state != S_FREE else 481, T_EMPTY, none)


cdef void on_register(Loop *L, Parsed *m, Address *source, Span tag) noexcept nogil:
    """The registrar of the answering side: challenges once, believes the answer; for loading registrations."""
    L.count[C_REGISTRATIONS] += 1
    if L.template[T_CHALLENGE].segments and m.authorization.n == 0:
        reply(L, m, source, 401, T_CHALLENGE, tag)
    else:
        reply(L, m, source, 200, T_REGISTERED, tag)


# -- timers


cdef inline uint32_t doubled(Loop *L, Call *c, uint32_t cap) noexcept nogil:
    cdef uint32_t after = L.t1 << (c.repeats if c.repeats < 16 else 16)
    return cap if cap and after > cap else after


cdef bint too_long(Loop *L, uint32_t slot, Call *c, uint32_t cap) noexcept nogil:
    """Whether 64·T1 have passed since the request; else the timer is set for the next repeat, at most then."""
    cdef uint32_t waited = <uint32_t>((L.now - c.marked) // 1000000)
    cdef uint32_t after
    if waited + 1 >= L.timeout:
        return True
    if c.repeats < 250:
        c.repeats += 1
    after = doubled(L, c, cap)
    if waited + after > L.timeout:
        after = L.timeout - waited
    timer_in(L, slot, c, after)
    L.count[C_RESENT] += 1
    return False


cdef inline int unended(Call *c, int outcome) noexcept nogil:
    """Why a call has failed whose BYE went unanswered: where we answered and never saw the ACK, for that."""
    return O_NO_ACK if c.incoming and not c.answered else outcome


cdef void on_timer(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    cdef int state = c.state
    if state == S_CALLING:
        if too_long(L, slot, c, 0):
            finish(L, slot, c, O_CANCELED if c.stopped else O_TIMEOUT, False)
        elif c.tried:
            send_with_credentials(L, T_INVITE, slot, c, 105, b"INVITE")
        else:
            send_request(L, T_INVITE, slot, c, 105, c.cseq)
    elif state == S_PROCEEDING:
        say_cancel(L, slot, c)
    elif state == S_TALKING:
        say_bye(L, slot, c)
    elif state == S_CONFIRMED:
        say_bye(L, slot, c)
    elif state == S_ENDING:
        if too_long(L, slot, c, L.t2):
            finish(L, slot, c, unended(c, O_BYE_TIMEOUT), False)
        elif c.incoming:
            send_request(L, T_HANGUP, slot, c, 98, 1)
        else:
            send_request(L, T_BYE, slot, c, 98, c.cseq + 1)
    elif state == S_CANCELING:
        if too_long(L, slot, c, L.t2):
            finish(L, slot, c, O_CANCELED if c.stopped or L.cancel_after else O_NO_ANSWER, False)
        else:
            send_request(L, T_CANCEL, slot, c, 105, c.cseq)
    elif state == S_COMPLETED:
        give_call(L, slot, c)
    elif state == S_REGISTERING:
        if too_long(L, slot, c, L.t2):
            finish(L, slot, c, O_CANCELED if c.stopped else O_TIMEOUT, False)
        elif c.tried:
            send_with_credentials(L, T_REGISTER, slot, c, 114, b"REGISTER")
        else:
            send_request(L, T_REGISTER, slot, c, 114, c.cseq)
    elif state == S_RINGING:
        answer_now(L, slot, c)
    elif state == S_ANSWERED:
        if too_long(L, slot, c, L.t2):
            # 13.3.1.4: no ACK in 64·T1, so the session is ended.
            say_bye(L, slot, c)
        else:
            send_answer(L, slot, c, 200, T_OK)
    elif state == S_REJECTED:
        if too_long(L, slot, c, L.t2):
            finish(L, slot, c, O_CANCELED if c.code == 487 else O_NO_ACK, False)
        else:
            send_answer(L, slot, c, c.code, T_EMPTY)


cdef void run_timers(Loop *L) noexcept nogil:
    cdef uint32_t slot, after, index
    cdef Call *c
    while <int32_t>(L.tick - L.wheel_tick) > 0:
        L.wheel_tick += 1
        index = L.wheel_tick & (WHEEL - 1)
        slot = L.wheel[index]
        if slot == NONE:
            continue
        L.wheel[index] = NONE
        while slot != NONE:
            c = call_at(L, slot)
            after = c.next
            c.timed = False
            if <int32_t>(c.tick - L.wheel_tick) > 0:
                timer_at(L, slot, c, c.tick)
            else:
                on_timer(L, slot, c)
            slot = after


# -- stopping


cdef void stop_some(Loop *L, uint32_t most) noexcept nogil:
    """Ends calls that are under way, some of them a turn, so that a target can follow."""
    cdef uint32_t ended = 0
    cdef Call *c
    while L.sweep < L.calls and ended < most:
        c = call_at(L, L.sweep)
        if c.state == S_TALKING or c.state == S_CONFIRMED:
            c.stopped = True
            say_bye(L, L.sweep, c)
            ended += 1
        elif c.state == S_PROCEEDING:
            c.stopped = True
            say_cancel(L, L.sweep, c)
            ended += 1
        elif c.state == S_CALLING or c.state == S_REGISTERING:
            c.stopped = True  # CANCEL only after a provisional response (9.1)
        elif c.state == S_RINGING:
            c.stopped = True
            refuse(L, L.sweep, c, 487)
            ended += 1
        L.sweep += 1


cdef void abandon(Loop *L) noexcept nogil:
    """What has not ended when the time for stopping is over is counted as it stands."""
    cdef uint32_t slot
    cdef Call *c
    for slot in range(L.calls):
        c = call_at(L, slot)
        if c.state == S_FREE or c.state == S_COMPLETED:
            continue
        L.count[C_ABANDONED] += 1
        if c.state == S_ENDING or c.state == S_TALKING or c.state == S_CONFIRMED:
            finish(L, slot, c, unended(c, O_BYE_TIMEOUT), False)
        elif c.state == S_ANSWERED or c.state == S_REJECTED:
            finish(L, slot, c, O_NO_ACK, False)
        else:
            finish(L, slot, c, O_CANCELED, False)
