"""INVITE server transaction: RFC 3261 17.2.1 and figure 7, as corrected by RFC 6026 8.5 to 8.7.

The 100 is sent by the endpoint as soon as the request has passed its checks, and the 2xx is repeated by the
call until its ACK comes (13.3.1.4): both pass through here.
"""

from __future__ import annotations

from callwright.sip.transaction.table import Action as Do
from callwright.sip.transaction.table import Row, RowGuard, State, Table
from callwright.sip.transaction.table import Trigger as On

INVITE_SERVER = Table(
    name="INVITE server",
    source="RFC 3261 17.2.1, RFC 6026 8.5 to 8.7",
    rows=(
        Row(None, On.START, (), State.PROCEEDING),
        Row(State.PROCEEDING, On.REQUEST, (Do.RESEND,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SEND_PROVISIONAL, (Do.SEND,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SEND_SUCCESS, (Do.SEND, Do.START_L), State.ACCEPTED),
        Row(State.PROCEEDING, On.SEND_FAILURE, (Do.SEND, Do.START_G, Do.START_H), State.COMPLETED),
        Row(State.PROCEEDING, On.ABANDON, (), State.TERMINATED),
        Row(State.COMPLETED, On.REQUEST, (Do.RESEND,), State.COMPLETED),
        Row(State.COMPLETED, On.TIMER_G, (Do.RESEND, Do.REPEAT_DOUBLED_TO_T2), State.COMPLETED),
        Row(State.COMPLETED, On.ACK, (Do.STOP_REPEATING, Do.START_I), State.CONFIRMED),
        Row(State.COMPLETED, On.TIMER_H, (Do.REPORT_TIMEOUT,), State.TERMINATED),
        Row(State.CONFIRMED, On.ACK, (), State.CONFIRMED),
        Row(State.CONFIRMED, On.TIMER_I, (), State.TERMINATED),
        # RFC 6026 8.7: a repeated INVITE is absorbed; the repetition of the 2xx answers it.
        Row(State.ACCEPTED, On.REQUEST, (), State.ACCEPTED),
        Row(State.ACCEPTED, On.SEND_SUCCESS, (Do.SEND,), State.ACCEPTED),
        Row(State.ACCEPTED, On.ACK, (Do.DELIVER,), State.ACCEPTED),
        Row(State.ACCEPTED, On.TIMER_L, (), State.TERMINATED),
    ),
    guards={
        State.PROCEEDING: RowGuard(
            "call", On.ABANDON, "after the answer limit the call is answered 480; an INVITE in a dialog 500"
        ),
        State.COMPLETED: RowGuard("transaction", On.TIMER_H, "no ACK came: the user hears of a timeout"),
        State.CONFIRMED: RowGuard("transaction", On.TIMER_I, "repeated ACKs have been absorbed until here"),
        State.ACCEPTED: RowGuard("transaction", On.TIMER_L, "repeated INVITEs have been absorbed until here"),
    },
)
