"""Non-INVITE client transaction: RFC 3261 17.1.2 and figure 6."""

from __future__ import annotations

from callwright.sip.transaction.table import Action as Do
from callwright.sip.transaction.table import Row, RowGuard, State, Table
from callwright.sip.transaction.table import Trigger as On

_FINAL = (Do.STOP_REPEATING, Do.START_K, Do.DELIVER)

NON_INVITE_CLIENT = Table(
    name="Non-INVITE client",
    source="RFC 3261 17.1.2",
    rows=(
        Row(None, On.START, (Do.SEND, Do.START_E, Do.START_F), State.TRYING),
        Row(State.TRYING, On.TIMER_E, (Do.RESEND, Do.REPEAT_DOUBLED_TO_T2), State.TRYING),
        Row(State.TRYING, On.TIMER_F, (Do.REPORT_TIMEOUT,), State.TERMINATED),
        Row(State.TRYING, On.TRANSPORT_ERROR, (Do.REPORT_TRANSPORT,), State.TERMINATED),
        Row(State.TRYING, On.ABANDON, (), State.TERMINATED),
        Row(State.TRYING, On.PROVISIONAL, (Do.DELIVER,), State.PROCEEDING),
        Row(State.TRYING, On.SUCCESS, _FINAL, State.COMPLETED),
        Row(State.TRYING, On.FAILURE, _FINAL, State.COMPLETED),
        Row(State.PROCEEDING, On.TIMER_E, (Do.RESEND, Do.REPEAT_AT_T2), State.PROCEEDING),
        Row(State.PROCEEDING, On.TIMER_F, (Do.REPORT_TIMEOUT,), State.TERMINATED),
        Row(State.PROCEEDING, On.TRANSPORT_ERROR, (Do.REPORT_TRANSPORT,), State.TERMINATED),
        Row(State.PROCEEDING, On.ABANDON, (), State.TERMINATED),
        Row(State.PROCEEDING, On.PROVISIONAL, (Do.DELIVER,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SUCCESS, _FINAL, State.COMPLETED),
        Row(State.PROCEEDING, On.FAILURE, _FINAL, State.COMPLETED),
        Row(State.COMPLETED, On.TIMER_K, (), State.TERMINATED),
    ),
    guards={
        State.TRYING: RowGuard("transaction", On.TIMER_F, "the user hears of a timeout"),
        State.PROCEEDING: RowGuard("transaction", On.TIMER_F, "the user hears of a timeout"),
        State.COMPLETED: RowGuard("transaction", On.TIMER_K, "repeated finals have been absorbed until here"),
    },
)
