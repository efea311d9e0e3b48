"""Non-INVITE server transaction: RFC 3261 17.2.2 and figure 8, with an end for a user that never answers."""

from __future__ import annotations

from callwright.sip.transaction.table import Action as Do
from callwright.sip.transaction.table import Row, RowGuard, State, Table
from callwright.sip.transaction.table import Trigger as On

NON_INVITE_SERVER = Table(
    name="Non-INVITE server",
    source="RFC 3261 17.2.2; patience is ours, since the client gives up after 64*T1 anyway (RFC 4320)",
    rows=(
        Row(None, On.START, (Do.START_PATIENCE,), State.TRYING),
        Row(State.TRYING, On.REQUEST, (), State.TRYING),
        Row(State.TRYING, On.SEND_PROVISIONAL, (Do.SEND,), State.PROCEEDING),
        Row(State.TRYING, On.SEND_SUCCESS, (Do.SEND, Do.START_J), State.COMPLETED),
        Row(State.TRYING, On.SEND_FAILURE, (Do.SEND, Do.START_J), State.COMPLETED),
        Row(State.TRYING, On.ABANDON, (), State.TERMINATED),
        Row(State.TRYING, On.PATIENCE, (), State.TERMINATED),
        Row(State.PROCEEDING, On.REQUEST, (Do.RESEND,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SEND_PROVISIONAL, (Do.SEND,), State.PROCEEDING),
        Row(State.PROCEEDING, On.SEND_SUCCESS, (Do.SEND, Do.START_J), State.COMPLETED),
        Row(State.PROCEEDING, On.SEND_FAILURE, (Do.SEND, Do.START_J), State.COMPLETED),
        Row(State.PROCEEDING, On.ABANDON, (), State.TERMINATED),
        Row(State.PROCEEDING, On.PATIENCE, (), State.TERMINATED),
        Row(State.COMPLETED, On.REQUEST, (Do.RESEND,), State.COMPLETED),
        Row(State.COMPLETED, On.TIMER_J, (), State.TERMINATED),
    ),
    guards={
        State.TRYING: RowGuard("transaction", On.PATIENCE, "forgotten: the client has given up too"),
        State.PROCEEDING: RowGuard("transaction", On.PATIENCE, "forgotten: the client has given up too"),
        State.COMPLETED: RowGuard("transaction", On.TIMER_J, "repeated requests were answered until here"),
    },
)
