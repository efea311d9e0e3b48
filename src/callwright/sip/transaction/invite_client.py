"""INVITE client transaction: RFC 3261 17.1.1 and figure 5, as corrected by RFC 6026 8.4."""

from __future__ import annotations

from callwright.sip.transaction.table import Action as Do
from callwright.sip.transaction.table import Row, RowGuard, State, Table
from callwright.sip.transaction.table import Trigger as On

INVITE_CLIENT = Table(
    name="INVITE client",
    source="RFC 3261 17.1.1, RFC 6026 8.4",
    rows=(
        Row(None, On.START, (Do.SEND, Do.START_A, Do.START_B), State.CALLING),
        Row(State.CALLING, On.TIMER_A, (Do.RESEND, Do.REPEAT_DOUBLED), State.CALLING),
        Row(State.CALLING, On.TIMER_B, (Do.REPORT_TIMEOUT,), State.TERMINATED),
        Row(State.CALLING, On.TRANSPORT_ERROR, (Do.REPORT_TRANSPORT,), State.TERMINATED),
        Row(State.CALLING, On.ABANDON, (), State.TERMINATED),
        Row(State.CALLING, On.PROVISIONAL, (Do.STOP_REPEATING, Do.DELIVER), State.PROCEEDING),
        Row(State.CALLING, On.SUCCESS, (Do.STOP_REPEATING, Do.START_M, Do.DELIVER), State.ACCEPTED),
        Row(
            State.CALLING,
            On.FAILURE,
            (Do.STOP_REPEATING, Do.SEND_ACK, Do.START_D, Do.DELIVER),
            State.COMPLETED,
        ),
        Row(State.PROCEEDING, On.PROVISIONAL, (Do.DELIVER,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SUCCESS, (Do.START_M, Do.DELIVER), State.ACCEPTED),
        Row(State.PROCEEDING, On.FAILURE, (Do.SEND_ACK, Do.START_D, Do.DELIVER), State.COMPLETED),
        # Nothing is repeated here, so an error is of the connection on which the final response would come.
        Row(State.PROCEEDING, On.TRANSPORT_ERROR, (Do.REPORT_TRANSPORT,), State.TERMINATED),
        Row(State.PROCEEDING, On.ABANDON, (), State.TERMINATED),
        Row(State.COMPLETED, On.FAILURE, (Do.SEND_ACK,), State.COMPLETED),
        Row(State.COMPLETED, On.TRANSPORT_ERROR, (), State.TERMINATED),
        Row(State.COMPLETED, On.TIMER_D, (), State.TERMINATED),
        Row(State.ACCEPTED, On.SUCCESS, (Do.DELIVER,), State.ACCEPTED),
        Row(State.ACCEPTED, On.TIMER_M, (), State.TERMINATED),
    ),
    guards={
        State.CALLING: RowGuard("transaction", On.TIMER_B, "the user hears of a timeout"),
        State.PROCEEDING: RowGuard(
            "call", On.ABANDON, "after the ring limit the call is canceled, and 64*T1 later given up"
        ),
        State.COMPLETED: RowGuard(
            "transaction", On.TIMER_D, "repeated finals have been acknowledged until here"
        ),
        State.ACCEPTED: RowGuard(
            "transaction", On.TIMER_M, "repeated and forked 2xx were delivered until here"
        ),
    },
)
