# The memory of the load loop: calls in a pool, timers in a wheel, numbers in histograms.

cdef enum:
    NONE = 0xFFFFFFFF

    CHUNK = 4096                # calls allocated at once
    CHUNKS = 4096               # so at most 16 million
    WHEEL = 8192                # one millisecond each; later timers take further rounds
    OUT = 128                   # messages in the outbox
    OUT_SIZE = 4096             # octets of one
    IN = 64                     # datagrams taken by one recvmmsg
    IN_SIZE = 8192
    CONTROL_SIZE = 128

    CODES = 700
    NOTABLE = 1024
    SEGMENTS = 64               # of a template

cdef enum:
    S_FREE = 0
    S_CALLING = 1
    S_PROCEEDING = 2
    S_TALKING = 3
    S_ENDING = 4
    S_CANCELING = 5
    S_COMPLETED = 6             # a final response other than 2xx was acknowledged; Timer D
    S_REGISTERING = 7
    S_RINGING = 8               # ours to answer, after the ringing time
    S_ANSWERED = 9              # the 2xx is repeated until the ACK
    S_CONFIRMED = 10
    S_REJECTED = 11             # Timers G and H

cdef struct Address:
    uint8_t raw[28]             # sockaddr_in or sockaddr_in6
    uint32_t size
    uint32_t conn               # the connection of a stream

cdef struct Tag:                # before a message to `net.bulk_streams`
    uint32_t conn
    uint32_t kind

cdef struct Label:              # before one from there
    uint32_t conn
    uint32_t kind
    Address peer

cdef struct Part:
    uint32_t at
    uint32_t n

cdef struct Dialog:             # followed by its text
    Address peer
    bint direct                 # the peer is where the call was sent
    uint32_t cseq
    Part headers                # Via and Record-Route lines of the INVITE, as they go into its responses
    Part remote                 # value of To in our requests
    Part local                  # value of From in our requests, where the call is not ours
    Part call_id
    Part target
    Part routes                 # Route lines
    Part challenge              # of our BYE, empty without
    bint proxy                  # it was a Proxy-Authenticate

cdef enum:                      # clocks of a call that needs more than one
    W_MAIN = 0                  # what its state waits for
    W_REQUEST = 1               # a request of ours within the dialog is sent again
    W_RELIABLE = 2              # so is a reliable provisional response
    W_REFRESH = 3
    W_EXPIRY = 4
    CLOCKS = 5

cdef enum:                      # who refreshes a session
    R_NOBODY = 0
    R_LOCAL = 1
    R_REMOTE = 2

cdef struct Second:             # what few calls need: provisional responses that are acknowledged, a session timer
    uint32_t at[CLOCKS]         # ticks
    uint32_t armed              # a bit each
    uint64_t marked             # ns: when the request within the dialog was sent first
    uint64_t rung               # ns: when the reliable provisional response was
    uint32_t cseq               # of our last request within the dialog, 0 without
    uint32_t invited            # of our last re-INVITE
    uint32_t rseq               # caller: taken last; answerer: sent last
    uint32_t prack              # answerer: CSeq of the PRACK that came for it
    uint32_t asked              # CSeq of their last request that refreshed
    uint32_t interval           # s; 0: no session timer runs
    uint32_t least              # s: what a 422 demanded, or a 423
    uint8_t open                # letter in the branch of the request that is not answered, 0 without
    uint8_t repeats
    uint8_t rings               # repeats of the reliable provisional response
    uint8_t tried               # the open request has credentials
    uint8_t owed                # the reliable provisional response waits for its PRACK
    uint8_t waits               # so does our answer
    uint8_t offers              # our SDP is in it
    uint8_t described           # theirs was, and we know their direction
    uint8_t direction           # ours, after that
    uint8_t refresher           # R_
    uint8_t by_update           # the peer takes UPDATE
    uint8_t raises
    uint8_t expired
    uint8_t unproved            # refused, for no PRACK came

cdef struct Call:
    uint64_t started            # ns
    uint64_t marked             # ns: when the request now waited for was sent first
    Dialog *dialog
    Second *second              # NULL in most
    uint64_t key                # of the table of incoming calls
    uint64_t said               # position of its newest message in the ring, and one; 0 without
    uint32_t chain
    uint32_t next
    uint32_t prev
    uint32_t tick
    uint32_t generation
    uint32_t account
    uint32_t hold               # ms
    int32_t stream
    uint32_t pdd                # µs
    uint32_t setup              # µs
    uint16_t code
    uint8_t state
    uint8_t repeats
    uint8_t cseq
    uint8_t direction           # ours, in the SDP that we answer with
    uint8_t version             # of that SDP, from the first
    uint8_t timed
    uint8_t heard               # a provisional response came
    uint8_t answered            # a 2xx came
    uint8_t tried               # credentials were sent
    uint8_t stopped             # ended early by us
    uint8_t incoming
    uint8_t late                # answered after we gave up ringing
    uint8_t hung_up             # ended by the far end

cdef struct Segment:
    int kind
    uint32_t at
    uint32_t n

cdef struct Template:
    int segments
    int opening                 # those that hold the start line
    Segment segment[SEGMENTS]
    uint8_t *text

cdef struct Writer:
    uint8_t *p
    uint8_t *end
    bint overflow

# A ring that the loop's thread alone writes: the entry first, then `notables`. Others read it meanwhile, and take an
# entry that is overwritten while they read for what it then says.
cdef struct Notable:
    uint64_t at                 # ns since the loop began
    uint32_t number
    uint32_t account
    uint32_t pdd
    uint32_t setup
    int32_t mos                 # thousandths, -1 without
    uint16_t code
    uint8_t outcome

cdef struct Entry:              # of the ring of messages; followed by the message
    uint64_t at                 # ns
    uint64_t before             # position of the entry before it in the same call, and one; 0 without
    uint32_t size
    uint32_t sent

# Written by the loop's thread alone, and read only while it does not run.
cdef struct Kept:
    Notable call
    bint whole                  # no message is missing
    uint32_t messages
    uint32_t size
    uint8_t *text               # entries with their messages, the newest first

# Written by the loop's thread alone while it runs, but for the commands and one number, as is said there. Between two
# runs, which `LoadLoop.running` tells apart, the thread that holds the LoadLoop writes all of it. No lock: each field
# that two threads share fits a machine word, so that a reader finds an old value or a new one.
cdef struct Loop:
    # settings
    uint32_t salt
    bint caller, answerer, registering
    uint32_t t1, t2, timeout, hold, hold_spread, ring_for, ring_time, linger, cancel_after
    bint trying, ringing
    int reject
    int prack                   # 0: no; 1: where the other side wants it; 2: required
    uint32_t session            # s: what we ask for; 0: what the other side does
    uint32_t min_se             # s
    uint32_t expires            # s: of our registrations
    int refresher               # R_: whom we ask to refresh
    int refresh_by              # 0: UPDATE where the other side takes it; else M_UPDATE or M_INVITE
    uint64_t limit              # calls to place, or to take; 0 without
    bint random_account
    bint has_media
    # commands: written by the thread that holds the LoadLoop alone, and read by the loop's
    uint32_t concurrent
    double rate                 # calls per second
    bint paused
    int stopping                # 1: no new calls; 2: end every call; 3: leave
    double stop_seconds
    uint32_t notable_pdd        # µs: calls as slow as this are noted
    # what the loop makes of them
    uint64_t stop_deadline      # ns; with 2
    # what ends the calls, for the guardian
    int wills_fd                # -1 without
    uint8_t **wills             # CHUNKS, mapped when their first call is placed
    # sockets
    int fd, wild
    Address remote
    bint connected
    bint streams                # over TCP or TLS: the socket leads to `net.bulk_streams`
    bint per_call               # a connection for each call
    uint32_t speaker            # the connection of the call that speaks
    uint32_t wait               # ms until a request is repeated: T1, on a stream never
    Tag *out_tag
    int hung_up                 # in the outbox: no messages, but ends of connections
    bint refused                # an error waits in the queue
    # clock
    uint64_t now, began, run_until, last_heard, window_began
    double next_start           # ns
    uint32_t quiet              # ms without a datagram before an answering side leaves
    uint32_t tick
    # calls
    Call **chunk
    uint32_t calls              # allocated so far
    uint32_t free_head, free_tail
    uint32_t *table
    uint32_t table_mask
    uint32_t table_used
    uint32_t sweep              # where the stop has come to
    uint64_t random, random_seed
    uint32_t next_account
    # timers
    uint32_t *wheel
    uint32_t wheel_tick
    # templates and accounts
    Template template[MESSAGES_N]
    uint8_t *field_text
    Part *field_part
    uint32_t accounts, columns
    int user_column, password_column
    # messages
    mmsghdr *out_header
    iovec *out_iov
    Address *out_to
    uint8_t *out_data
    int out_n
    mmsghdr *in_header
    iovec *in_iov
    Address *in_from
    uint8_t *in_data
    uint8_t *in_control
    uint8_t *scratch
    # numbers: read by other threads, of which one sets count[C_LATEST_US] to 0; a worse lateness that comes at that
    # very moment may be lost
    uint64_t count[COUNTERS_N]
    uint64_t codes[CODES]
    uint64_t *histogram         # HISTOGRAMS_N × BUCKETS
    Notable *notable
    uint64_t notables
    # messages of calls that failed
    uint8_t *ring
    uint64_t said               # the position behind the newest entry
    Kept *kept                  # LADDERS, and the slowest call
    int kept_n
    int ladders                 # of each class of failures
    int kept_by_class[OUTCOMES_N + CODES]
    uint32_t slowest            # µs
    Call *about                 # the call of the request that is answered now
    uint64_t last_drops, last_wild_drops
    uint32_t busy               # sixteenths of packets in a millisecond, weighted over the last ones
    uint32_t window             # packets of this millisecond
    uint32_t turn
    # permitted networks of in-dialog requests and RTP
    uint8_t *networks           # 17 octets each: prefix length (of 128), address as IPv6
    int network_count
    Address *own                # of in-dialog requests, with their ports
    int own_count
    bint near                   # a peer on this machine may lead to any loopback address
    Media *m


cdef inline uint64_t clock_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t>t.tv_sec * 1000000000ULL + <uint64_t>t.tv_nsec


cdef inline uint64_t next_random(Loop *L) noexcept nogil:
    """splitmix64: spread, not secrecy."""
    cdef uint64_t z
    L.random += 0x9E3779B97F4A7C15ULL
    z = L.random
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL
    return z ^ (z >> 31)


cdef inline void record_many(Loop *L, int which, uint64_t value, uint64_t times) noexcept nogil:
    """Log-linear, as HdrHistogram: exact up to 255, then 128 buckets to the octave."""
    cdef uint32_t index
    cdef int shift
    if value < 256:
        index = <uint32_t>value
    else:
        shift = 63 - __builtin_clzll(value) - 7
        index = <uint32_t>(128 * shift + (value >> shift))
        if index >= BUCKETS:
            index = BUCKETS - 1
    L.histogram[which * BUCKETS + index] += times


cdef inline void record(Loop *L, int which, uint64_t value) noexcept nogil:
    record_many(L, which, value, 1)


cdef inline void record_mos(Loop *L, int mos) noexcept nogil:
    """`mos` in thousandths, one a bucket; the first holds all that are lower."""
    cdef int index = mos - MOS_LEAST
    if index < 0:
        index = 0
    if index >= BUCKETS:
        index = BUCKETS - 1
    L.histogram[H_MOS * BUCKETS + index] += 1


cdef inline Call *call_at(Loop *L, uint32_t slot) noexcept nogil:
    return &L.chunk[slot >> 12][slot & (CHUNK - 1)]


# -- timers


cdef inline void timer_off(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    if not c.timed:
        return
    c.timed = False
    if c.prev == NONE:
        L.wheel[c.tick & (WHEEL - 1)] = c.next
    else:
        call_at(L, c.prev).next = c.next
    if c.next != NONE:
        call_at(L, c.next).prev = c.prev


cdef inline void timer_at(Loop *L, uint32_t slot, Call *c, uint32_t tick) noexcept nogil:
    cdef uint32_t head
    timer_off(L, slot, c)
    if <int32_t>(tick - L.wheel_tick) <= 0:
        tick = L.wheel_tick + 1
    head = L.wheel[tick & (WHEEL - 1)]
    c.tick = tick
    c.next = head
    c.prev = NONE
    c.timed = True
    if head != NONE:
        call_at(L, head).prev = slot
    L.wheel[tick & (WHEEL - 1)] = slot


cdef inline void timer_in(Loop *L, uint32_t slot, Call *c, uint32_t ms) noexcept nogil:
    if c.second != NULL:
        clock_in(L, slot, c, W_MAIN, ms)
    else:
        timer_at(L, slot, c, L.tick + (ms if ms else 1))


cdef void arm(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Sets the timer to the first of the clocks."""
    cdef Second *s = c.second
    cdef int which, first = -1
    for which in range(CLOCKS):
        if (s.armed >> which) & 1 and (first < 0 or <int32_t>(s.at[which] - s.at[first]) < 0):
            first = which
    if first < 0:
        timer_off(L, slot, c)
    else:
        timer_at(L, slot, c, s.at[first])


cdef void clock_in(Loop *L, uint32_t slot, Call *c, int which, uint32_t ms) noexcept nogil:
    c.second.at[which] = L.tick + (ms if ms else 1)
    c.second.armed |= 1 << which
    arm(L, slot, c)


cdef void clock_off(Loop *L, uint32_t slot, Call *c, int which) noexcept nogil:
    if c.second != NULL:
        c.second.armed &= ~(<uint32_t>1 << which)
        arm(L, slot, c)
    elif which == W_MAIN:
        timer_off(L, slot, c)


cdef Second *second_of(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """Made where there is none yet; NULL when memory is at its end."""
    cdef Second *s = c.second
    if s == NULL:
        s = <Second *>calloc(1, sizeof(Second))
        if s == NULL:
            return NULL
        if c.timed:
            s.at[W_MAIN] = c.tick
            s.armed = 1 << W_MAIN
        c.second = s
    return s


# -- calls


cdef uint32_t take_call(Loop *L) noexcept nogil:
    """A free slot, the one that has been free for longest; NONE when memory is at its end."""
    cdef uint32_t slot = L.free_head, i
    cdef Call *c
    cdef Call *chunk
    if slot != NONE:
        c = call_at(L, slot)
        if <int32_t>(L.tick - c.tick) < <int32_t>L.linger and (L.calls >> 12) < CHUNKS:
            slot = NONE
    if slot == NONE:
        if (L.calls >> 12) >= CHUNKS:
            return NONE
        chunk = <Call *>calloc(CHUNK, sizeof(Call))
        if chunk == NULL:
            return NONE
        L.chunk[L.calls >> 12] = chunk
        # The new ones go to the front: they have lingered long enough.
        for i in range(CHUNK):
            chunk[i].next = L.calls + i + 1
            chunk[i].tick = L.tick - L.linger
        chunk[CHUNK - 1].next = L.free_head
        if L.free_head == NONE:
            L.free_tail = L.calls + CHUNK - 1
        L.free_head = L.calls
        slot = L.calls
        L.calls += CHUNK
    c = call_at(L, slot)
    L.free_head = c.next
    if L.free_head == NONE:
        L.free_tail = NONE
    if c.incoming:
        table_remove(L, slot, c)
    if c.dialog != NULL:
        free(c.dialog)
    free(c.second)
    i = c.generation + 1
    memset(c, 0, sizeof(Call))
    c.generation = i
    c.stream = -1
    return slot


cdef void give_call(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    timer_off(L, slot, c)
    c.state = S_FREE
    if L.per_call:
        hang_up(L, slot + 1)
    c.tick = L.tick
    c.next = NONE
    if L.free_tail == NONE:
        L.free_head = slot
    else:
        call_at(L, L.free_tail).next = slot
    L.free_tail = slot


# -- the table of incoming calls, by a keyed hash of Call-ID and From tag


cdef inline uint64_t mixed(uint64_t h, const uint8_t *p, uint32_t n) noexcept nogil:
    cdef uint64_t word
    while n >= 8:
        memcpy(&word, p, 8)
        h = (h ^ word) * 0x9FB21C651E98DF25ULL
        h ^= h >> 29
        p += 8
        n -= 8
    word = n
    if n:
        memcpy(&word, p, n)
        word ^= <uint64_t>n << 56
    h = (h ^ word) * 0x9FB21C651E98DF25ULL
    return h ^ (h >> 32)


cdef uint32_t table_find(Loop *L, uint64_t key) noexcept nogil:
    cdef uint32_t slot = L.table[key & L.table_mask]
    while slot != NONE:
        if call_at(L, slot).key == key:
            return slot
        slot = call_at(L, slot).chain
    return NONE


cdef void table_insert(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    cdef uint32_t size, i, other, after
    cdef uint32_t *table
    cdef Call *o
    if L.table_used > L.table_mask:
        size = (L.table_mask + 1) * 4
        table = <uint32_t *>malloc(size * sizeof(uint32_t))
        if table != NULL:
            memset(table, 0xFF, size * sizeof(uint32_t))
            for i in range(L.table_mask + 1):
                other = L.table[i]
                while other != NONE:
                    o = call_at(L, other)
                    after = o.chain
                    o.chain = table[o.key & (size - 1)]
                    table[o.key & (size - 1)] = other
                    other = after
            free(L.table)
            L.table = table
            L.table_mask = size - 1
    c.chain = L.table[c.key & L.table_mask]
    L.table[c.key & L.table_mask] = slot
    L.table_used += 1


cdef void table_remove(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    cdef uint32_t *link = &L.table[c.key & L.table_mask]
    while link[0] != NONE:
        if link[0] == slot:
            link[0] = c.chain
            L.table_used -= 1
            return
        link = &call_at(L, link[0]).chain
