# What happens to a call of the load loop when its time has come, and how all of them are ended.


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


cdef inline int why_rejected(Call *c, int otherwise) noexcept nogil:
    """How a call ends that we refused and whose ACK came, or never did."""
    if c.code == 487:
        return O_CANCELED
    if c.second != NULL and c.second.unproved:
        return O_NO_PRACK
    return O_NO_PORT if c.heard and otherwise == O_STATUS else otherwise


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
        else:
            send_bye(L, slot, c)
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
        if c.second != NULL and c.second.owed:
            c.second.waits = True
        else:
            answer_now(L, slot, c)
    elif state == S_ANSWERED:
        if too_long(L, slot, c, L.t2):
            # 13.3.1.4: no ACK in 64·T1, so the session is ended.
            say_bye(L, slot, c)
        else:
            send_ok(L, slot, c)
    elif state == S_REJECTED:
        if too_long(L, slot, c, L.t2):
            finish(L, slot, c, why_rejected(c, O_NO_ACK), False)
        else:
            send_answer(L, slot, c, c.code, T_EMPTY)


cdef void on_clocks(Loop *L, uint32_t slot, Call *c) noexcept nogil:
    """What is due of a call with several clocks."""
    cdef Second *s = c.second
    cdef int which
    for which in range(CLOCKS):
        if not (s.armed >> which) & 1 or <int32_t>(s.at[which] - L.wheel_tick) > 0:
            continue
        s.armed &= ~(<uint32_t>1 << which)
        if which == W_MAIN:
            on_timer(L, slot, c)
        elif which == W_REQUEST:
            inside_again(L, slot, c)
        elif which == W_RELIABLE:
            ring_again(L, slot, c)
        elif which == W_REFRESH:
            refresh(L, slot, c)
        else:
            expire(L, slot, c)
        if c.state == S_FREE:
            return
    arm(L, slot, c)


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
                if c.second != NULL:
                    on_clocks(L, slot, c)
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
    """What has not ended when the time for stopping is over is counted as it stands. Where it was left at
    once nobody has ended it: what ends it stays in memory, for the guardian."""
    cdef uint32_t slot
    cdef Call *c
    cdef int wills = L.wills_fd
    if L.stopping >= 3:
        L.wills_fd = -1
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
    L.wills_fd = wills
