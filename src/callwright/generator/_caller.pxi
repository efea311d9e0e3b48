# The calling side of the load loop: from INVITE to BYE, and REGISTER (RFC 3261 sections 10, 13, 15 and 17.1).


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
    timer_in(L, slot, c, L.wait)
    return True


cdef void say_bye(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    c.state = S_ENDING
    c.repeats = 0
    c.marked = L.now
    nothing_open(c)
    if c.stream >= 0:
        media_stop(L, c.stream, False)
    send_bye(L, slot, c)
    timer_in(L, slot, c, L.wait)


cdef void say_cancel(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    c.state = S_CANCELING
    c.repeats = 0
    c.marked = L.now
    send_request(L, T_CANCEL, slot, c, 105, c.cseq)
    timer_in(L, slot, c, L.wait)


cdef Span request_uri(Loop *L, Call *c, uint8_t *room, size_t size) noexcept nogil:
    """The Request-URI of the INVITE of a call, written into `room`; empty where it does not fit."""
    cdef Filling f
    cdef Writer w
    cdef const uint8_t *p
    cdef const uint8_t *q
    memset(&f, 0, sizeof(f))
    f.call = c
    w.p = room
    w.end = room + size
    w.overflow = False
    fill_part(L, &w, T_INVITE, &f, L.template[T_INVITE].opening)
    p = <const uint8_t *>memchr(room, 32, <size_t>(w.p - room))
    if p == NULL:
        return span(NULL, NULL)
    q = <const uint8_t *>memchr(p + 1, 32, <size_t>(w.p - p - 1))
    return span(NULL, NULL) if q == NULL else span(p + 1, q)


cdef bint store_dialog(Loop *L, Call *c, Parsed *m) noexcept nogil:
    """Remembers what ACK and BYE need: To with its tag, remote target, route set in reverse order (12.1.2)."""
    cdef uint8_t room[OUT_SIZE]
    cdef uint8_t whither[OUT_SIZE]
    cdef Writer w
    cdef Span values[MOST_ROUTES * 4]
    cdef Dialog *d
    cdef Span target
    cdef int count, i
    cdef uint32_t n
    target = address_uri(m.contact_value)
    if target.n == 0:
        # Without the Contact that a 2xx must have, where the INVITE went is the best there is.
        target = request_uri(L, c, whither, sizeof(whither))
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


cdef bint as_six(Address *a, uint8_t *six) noexcept nogil:
    """An address as one of IPv6; True for one of IPv4, mapped ones too."""
    cdef sockaddr_in *four
    cdef int i
    if a.size == sizeof(sockaddr_in):
        four = <sockaddr_in *>&a.raw[0]
        memset(six, 0, 10)
        six[10] = six[11] = 0xFF
        memcpy(six + 12, &four.sin_addr, 4)
        return True
    memcpy(six, &(<sockaddr_in6 *>&a.raw[0]).sin6_addr, 16)
    for i in range(10):
        if six[i]:
            return False
    return six[10] == 0xFF and six[11] == 0xFF


cdef bint is_loopback(Address *a) noexcept nogil:
    cdef uint8_t six[16]
    cdef int i
    if as_six(a, six):
        return six[12] == 127
    for i in range(15):
        if six[i]:
            return False
    return six[15] == 1


cdef bint is_impossible(Address *a) noexcept nogil:
    """Unspecified, multicast, broadcast or reserved: no network permits them."""
    cdef uint8_t six[16]
    cdef int i
    if as_six(a, six):
        return six[12] == 0 or six[12] >= 224
    if six[0] == 0xFF:
        return True
    for i in range(16):
        if six[i]:
            return False
    return True


cdef bint permitted(Loop *L, Address *a, Address *peer) noexcept nogil:
    """Whether our packets may go there, where `peer` wants them: it must not send our load to a stranger, nor one
    from outside to this machine."""
    cdef uint8_t six[16]
    cdef int i, bits, whole
    cdef uint8_t *network
    cdef uint8_t mask
    if is_impossible(a):
        return False
    if L.near and peer.size and is_loopback(a) and is_loopback(peer):
        return True
    as_six(a, six)
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
    """True with an address other than the target's, where the host is numeric and the target may lead there."""
    cdef uint8_t host[64]
    cdef const uint8_t *p = uri.p
    cdef const uint8_t *end = uri.p + uri.n
    cdef const uint8_t *start
    cdef const uint8_t *q
    cdef uint32_t port = 0, n
    cdef int i
    cdef sockaddr_in four
    cdef sockaddr_in6 six
    memset(out, 0, sizeof(Address))
    if L.streams:
        return False  # a dialog stays on its connection (RFC 5923)
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
    for i in range(L.own_count):
        if same_host(out, &L.own[i]) and memcmp(out.raw + 2, L.own[i].raw + 2, 2) == 0:  # and the port
            return True
    return permitted(L, out, &L.remote)


cdef void answered_by_peer(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """The first 2xx of an INVITE."""
    cdef bint usable
    cdef Audio audio
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
        # Without a tag there is no dialog to acknowledge or to end.
        c.code = <uint16_t>m.status
        finish(L, slot, c, O_UNEXPECTED, False)
        return
    will_answered(L, slot, m)
    nothing_open(c)
    send_request(L, T_ACK, slot, c, 97, c.cseq)
    if c.state == S_CANCELING or c.stopped:
        c.late = not (c.stopped or L.cancel_after)
        say_bye(L, slot, c)
        return
    if c.stream >= 0 and m.body.n == 0 and c.second != NULL and c.second.described:
        media_direct(L, c.stream, c.second.direction)
    elif c.stream >= 0:
        # Answered without audio that we could send, the call goes on: it is judged by what comes in.
        read_audio(m.body, &audio)
        media_start(L, c.stream, m.body, &L.remote)
        media_promise(L, c.stream, m.body, False)
        media_direct(L, c.stream, answer_to(audio.direction))
    if c.hold == 0:
        say_bye(L, slot, c)
        return
    c.state = S_TALKING
    timer_in(L, slot, c, c.hold)
    session_answered(L, slot, c, m)


cdef bint same_dialog(Call *c, Parsed *m) noexcept nogil:
    """Whether a 2xx is of the dialog that we took, or of another branch of a proxy that forked (13.2.2.4)."""
    cdef Span ours = tag_of(part(c.dialog, c.dialog.remote))
    cdef Span theirs = tag_of(m.to_value)
    return ours.n == theirs.n and memcmp(ours.p, theirs.p, ours.n) == 0


cdef void end_fork(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """Who answered second is acknowledged and hung up on; each repeat of that answer brings both again."""
    cdef Dialog *first = c.dialog
    c.dialog = NULL
    if tag_of(m.to_value).n > 0 and store_dialog(L, c, m):
        send_request(L, T_ACK, slot, c, 97, c.cseq)
        send_request(L, T_BYE, slot, c, 120, c.cseq + 1)
        free(c.dialog)
    c.dialog = first


cdef void invite_again(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Another INVITE of the same call is to be sent, its timer set."""
    c.cseq = <uint8_t>(last_cseq(c) + 1)
    c.repeats = 0
    c.state = S_CALLING
    c.marked = L.now
    nothing_open(c)
    if c.second != NULL:
        c.second.rseq = 0
    timer_in(L, slot, c, L.wait)


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
        if m.rseq and m.status > 100 and m.options & X_REQUIRED_100REL and L.prack:
            take_reliable(L, slot, c, m)
        return
    if m.status < 300:
        if state == S_CALLING or state == S_PROCEEDING or state == S_CANCELING:
            answered_by_peer(L, slot, c, m)
        elif c.answered and c.dialog != NULL:
            L.count[C_REPEATED] += 1
            if same_dialog(c, m):
                # Repeated, so our ACK was lost.
                send_request(L, T_ACK, slot, c, 97, c.cseq)
            else:
                end_fork(L, slot, c, m)
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
        if not c.stopped and keep_challenge(c, m):
            c.tried = True
            L.count[C_CHALLENGED] += 1
            invite_again(L, slot, c)
            send_with_credentials(L, T_INVITE, slot, c, 105, b"INVITE")
            return
    if m.status == 422 and L.session and state != S_CANCELING and not c.stopped and raised(L, slot, c, m):
        c.tried = False  # a proxy may ask for credentials of another nonce
        free(c.dialog)
        c.dialog = NULL
        invite_again(L, slot, c)
        send_request(L, T_INVITE, slot, c, 105, c.cseq)
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
    if m.cseq != bye_cseq(c):
        L.count[C_REPEATED] += 1  # of the BYE before the credentials
        return
    if m.status < 200:
        return
    if (m.status == 401 or m.status == 407) and L.user_column >= 0 and not c.incoming and not c.dialog.challenge.n:
        if keep_challenge_of_bye(c, m):
            c.repeats = 0
            L.count[C_CHALLENGED] += 1
            send_bye(L, slot, c)
            timer_in(L, slot, c, L.wait)
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


cdef bint longer(Loop *L, uint32_t slot, Call *c, Parsed *m) noexcept nogil:
    """A 423 (RFC 3261 section 10.3): True where its Min-Expires is worth a try, which it is once."""
    cdef Second *s = second_of(L, slot, c)
    if s == NULL or s.least or m.min_expires <= L.expires or m.min_expires > 2147483647:
        return False
    s.least = m.min_expires
    return True


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
        timer_in(L, slot, c, L.wait)
        return
    if m.status == 423 and longer(L, slot, c, m):
        c.tried = False  # the answer to another challenge is another one
        c.cseq += 1
        c.repeats = 0
        c.marked = L.now
        free(c.dialog)
        c.dialog = NULL
        send_request(L, T_REGISTER, slot, c, 114, c.cseq)
        timer_in(L, slot, c, L.wait)
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
    keep_received(L, c, m)
    if p[34] == 120:
        return  # to the BYE of a second answer
    if p[34] == 112 or p[34] == 117 or p[34] == 106:
        on_inside_response(L, slot, c, m, p[34])
        return
    if m.method == M_INVITE:
        on_invite_response(L, slot, c, m)
    elif m.method == M_BYE:
        on_bye_response(L, slot, c, m)
    elif m.method == M_REGISTER:
        on_register_response(L, slot, c, m)
    elif m.method != M_CANCEL:
        L.count[C_STRAY] += 1
