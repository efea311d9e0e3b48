cdef struct Media:
    int notable_mos

cdef int media_open(Loop *L, uint32_t slot) noexcept nogil:
    return -1
cdef uint32_t media_port(Loop *L, int stream) noexcept nogil:
    return 0
cdef uint32_t media_ssrc(Loop *L, int stream) noexcept nogil:
    return 0
cdef bint media_start(Loop *L, int stream, Span body) noexcept nogil:
    return False
cdef void media_stop(Loop *L, int stream) noexcept nogil:
    pass
cdef int media_close(Loop *L, int stream) noexcept nogil:
    return -1
cdef void media_turn(Loop *L) noexcept nogil:
    pass
cdef long media_rest(Loop *L, long wait) noexcept nogil:
    return wait
cdef media_prepare(Loop *L, config):
    L.m = <Media *>calloc(1, sizeof(Media))
cdef void media_begin(Loop *L) noexcept nogil:
    pass
cdef media_shut(Loop *L):
    pass
cdef void media_free(Loop *L) noexcept nogil:
    free(L.m)
