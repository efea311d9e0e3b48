# Doors into the loop for its tests and its fuzzer: each calls one part of it.


def read(bytes data):
    """What the loop reads of a message; None when unreadable."""
    cdef Parsed m
    cdef Span values[MOST_ROUTES * 4]
    cdef int i, count
    if not parse(<const uint8_t *><const char *>data, <uint32_t>len(data), &m):
        return None
    count = split_routes(&m, values, MOST_ROUTES * 4)
    return {
        "status": m.status,
        "method": m.method,
        "cseq": m.cseq,
        "retry_after": m.retry_after,
        "uri": _text(m.uri),
        "call_id": _text(m.call_id),
        "from": _text(m.from_value),
        "from_tag": _text(tag_of(m.from_value)),
        "to": _text(m.to_value),
        "to_tag": _text(tag_of(m.to_value)),
        "contact": _text(address_uri(m.contact_value)),
        "via": [_text(m.via[i]) for i in range(m.vias)],
        "branch": _text(m.branch),
        "sent_by": b"" if m.status else _text(m.sent_by),  # only a reply needs it
        "rport": m.rport != NULL,
        "routes": [_text(values[i]) for i in range(count)],
        "challenge": _text(m.challenge),
        "rseq": m.rseq,
        "session": (m.session, m.refresher) if m.options & X_SESSION else None,
        "min_se": m.min_se,
        "options": m.options & ~X_SESSION,
        "body": _text(m.body),
    }


cdef bytes _text(Span s):
    return s.p[:s.n] if s.n else b""


def without_libcrypto(bint without):
    """Whether hashes are taken from hashlib from now on, as where libcrypto is hidden; for the tests."""
    global EVP_Digest
    EVP_Digest = NULL
    if not without:
        digest_prepare()
    return EVP_Digest == NULL


def authorization(
    bytes challenge, *, bint proxy, bytes user, bytes password, bytes method, bytes uri, bytes cnonce, bytes body=b""
):
    """The line that answers a challenge, None where it cannot."""
    cdef uint8_t room[OUT_SIZE]
    cdef Writer w
    if len(cnonce) != 16:
        raise ValueError("a cnonce has 16 octets")
    w.p = room
    w.end = room + OUT_SIZE
    w.overflow = False
    if not write_authorization(
        &w, _span(challenge), proxy, _span(user), _span(password), _span(method), _span(uri),
        <const uint8_t *><const char *>cnonce, _span(body)
    ):
        return None
    return room[: w.p - room]


cdef Span _span(bytes text):
    cdef const uint8_t *p = <const uint8_t *><const char *>text
    return span(p, p + len(text))


def judged(LoadLoop loop, packets, since=None, until=None, bint hung_up=False):
    """What `media_close` says of a stream that takes these packets, each with its arrival in ns, while audio is due
    from `since` to `until`; the loop counts them."""
    cdef Loop *L = loop.L
    cdef Stream *s
    cdef bytes packet
    cdef int stream = media_open(L, 0) if L.has_media and not loop.running else -1
    if stream < 0:
        raise RuntimeError("no stream can be opened")
    s = &L.m.stream[stream]
    if since is not None:
        expect(s, since)
    for arrival, packet in packets:
        if is_rtp(L.m, <const uint8_t *><const char *>packet, <uint32_t>len(packet)):
            account(L, s, <const uint8_t *><const char *>packet, <uint32_t>len(packet), arrival)
    if until is not None:
        excuse(s, until, hung_up)
    return media_close(L, stream, False)


def promised(bytes body):
    """What an SDP promises."""
    cdef const uint8_t *p = <const uint8_t *><const char *>body
    return promises(span(p, p + len(body)))


def admitted(LoadLoop loop, body, packets):
    """Of packets with their arrival and source: whether each is of the stream that the SDP describes, and where ours
    goes after it."""
    cdef Loop *L = loop.L
    cdef Stream *s
    cdef Address source, nobody
    cdef bytes packet, sdp = body
    cdef const uint8_t *p = <const uint8_t *><const char *>sdp
    cdef int stream = media_open(L, 0) if L.has_media and not loop.running else -1
    if stream < 0:
        raise RuntimeError("no stream can be opened")
    memset(&nobody, 0, sizeof(nobody))
    s = &L.m.stream[stream]
    media_start(L, stream, span(p, p + len(sdp)), &nobody)
    found = []
    for arrival, where, packet in packets:
        _address(where[0], where[1], &source)
        p = <const uint8_t *><const char *>packet
        taken = admits(L, s, p, &source, arrival)
        if taken:
            account(L, s, p, <uint32_t>len(packet), arrival)
        found.append((bool(taken), ntohs((<sockaddr_in *>&s.out.raw[0]).sin_port)))
    media_close(L, stream, False)
    return found


def audio(LoadLoop loop, bytes body):
    """Host, port, SSRC and direction of the audio of an SDP where RTP of the loop may go there, else None."""
    cdef Loop *L = loop.L
    cdef Stream *s
    cdef Address nobody
    cdef Audio said
    cdef const uint8_t *p = <const uint8_t *><const char *>body
    cdef int stream = media_open(L, 0) if L.has_media and not loop.running else -1
    if stream < 0:
        raise RuntimeError("no stream can be opened")
    memset(&nobody, 0, sizeof(nobody))
    s = &L.m.stream[stream]
    found = None
    read_audio(span(p, p + len(body)), &said)
    if media_start(L, stream, span(p, p + len(body)), &nobody):
        four = s.to.size == sizeof(sockaddr_in)
        host = (<const char *>s.to.raw)[4:8] if four else (<const char *>s.to.raw)[8:24]
        found = (
            _socket.inet_ntop(AF_INET if four else AF_INET6, host),
            ntohs((<sockaddr_in *>&s.to.raw[0]).sin_port),
            s.theirs if s.told else None,
            said.direction,
        )
    media_close(L, stream, False)
    return found


def permits(LoadLoop loop, address, peer):
    """Whether packets may go to the host of an address that a peer named."""
    cdef Address there, speaker
    _address(address[0], address[1], &there)
    _address(peer[0], peer[1], &speaker)
    return bool(permitted(loop.L, &there, &speaker))


def leads_to(LoadLoop loop, bytes uri):
    """Host and port where the URI of a Contact or route leads, else None."""
    cdef Address found
    cdef const uint8_t *p = <const uint8_t *><const char *>uri
    if not next_hop(loop.L, span(p, p + len(uri)), &found):
        return None
    four = found.size == sizeof(sockaddr_in)
    host = (<const char *>found.raw)[4:8] if four else (<const char *>found.raw)[8:24]
    return (
        _socket.inet_ntop(AF_INET if four else AF_INET6, host),
        ntohs((<sockaddr_in *>&found.raw[0]).sin_port),
    )
