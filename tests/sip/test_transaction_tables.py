from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from callwright.sip.message import Request, Response, parse_datagram
from callwright.sip.timers import Timers
from callwright.sip.transaction.client import ClientTransaction
from callwright.sip.transaction.layer import TransactionLayer, server_key
from callwright.sip.transaction.server import ServerTransaction
from callwright.sip.transaction.table import TIMER_STARTED_BY, State, Table, Trigger, render_markdown
from callwright.sip.transaction.tables import TABLES
from callwright.sip.transport import Address, Hop, Transport

UDP = Hop(Transport.UDP, Address("192.0.2.1", 5060), Address("192.0.2.2", 5060))
TCP = Hop(Transport.TCP, Address("192.0.2.1", 5060), Address("192.0.2.2", 5060))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_that_is_not_final_has_an_owner_a_deadline_and_a_recovery(table: Table) -> None:
    for state in table.states:
        if state is State.TERMINATED:
            assert state not in table.guards
            continue
        guard = table.guards[state]
        assert guard.owner
        assert guard.recovery
        assert table.index[(state, guard.deadline)].then is not state


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_deadline_of_the_transaction_is_started_on_every_way_into_the_state(table: Table) -> None:
    starters = {trigger: action for action, trigger in TIMER_STARTED_BY.items()}
    started: dict[State, bool] = {}

    def enter(state: State | None, running: frozenset[Trigger]) -> None:
        for row in table.rows:
            if row.state is not state or row.then is state or row.then is State.TERMINATED:
                continue
            now_running = running | {TIMER_STARTED_BY[a] for a in row.actions if a in TIMER_STARTED_BY}
            guard = table.guards[row.then]
            if guard.owner == "transaction":
                assert guard.deadline in starters
                assert guard.deadline in now_running, f"{row.then} entered without {guard.deadline}"
            started[row.then] = True
            enter(row.then, now_running)

    enter(None, frozenset())
    assert set(started) == set(table.states) - {State.TERMINATED}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_nothing_leaves_the_final_state(table: Table) -> None:
    assert not [row for row in table.rows if row.state is State.TERMINATED]


def test_the_tables_are_drawn_as_markdown() -> None:
    page = render_markdown(TABLES)
    assert "## INVITE client" in page
    assert "| Calling | Timer B | report the timeout | Terminated |" in page
    assert "| Accepted | transaction | Timer L |" in page


def test_the_committed_page_of_tables_is_what_the_code_says() -> None:
    page = Path(__file__).parents[2] / "docs" / "state-machines.md"
    assert page.read_text(encoding="utf-8") == render_markdown(TABLES), "run: make docs"


class User:
    """Writes down what transactions tell."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def transaction_answered(self, transaction: ClientTransaction, response: Response, now: float) -> None:
        self.told.append(str(response.status))

    def transaction_timed_out(self, transaction: ClientTransaction, now: float) -> None:
        self.told.append(f"timeout at {now:g}")

    def transaction_failed(self, transaction: ClientTransaction, reason: str, now: float) -> None:
        self.told.append(reason)

    def transaction_garbled(
        self, transaction: ClientTransaction, status: int, fault: str, now: float
    ) -> None:
        self.told.append(f"{status}: {fault}")

    def transaction_acknowledged(self, transaction: ServerTransaction, ack: Request, now: float) -> None:
        self.told.append("ACK")

    def transaction_canceled(self, transaction: ServerTransaction, cancel: Request, now: float) -> None:
        self.told.append("CANCEL")


def make_request(method: str) -> Request:
    text = (
        f"{method} sip:bob@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa;rport\r\n"
        "Max-Forwards: 70\r\nFrom: <sip:a@192.0.2.1>;tag=1\r\nTo: <sip:bob@192.0.2.2>\r\n"
        f"Call-ID: c\r\nCSeq: 1 {method}\r\nRoute: <sip:p;lr>\r\nContent-Length: 0\r\n\r\n"
    )
    message = parse_datagram(text.encode())
    assert isinstance(message, Request)
    return message


def make_response(request: Request, status: int) -> Response:
    headers = request.headers.copy()
    headers.set("To", "<sip:bob@192.0.2.2>;tag=2")
    headers.remove("Route")
    return Response(status, "Whatever", headers)


class Bench:
    """One transaction on a layer, with a clock that rings all there is on the way."""

    def __init__(self, method: str, hop: Hop, *, server: bool = False) -> None:
        self.layer = TransactionLayer(Timers(), 100)
        self.user = User()
        self.request = make_request(method)
        self.sent: list[tuple[float, str]] = []
        self.now = 0.0
        self.client: ClientTransaction | None = None
        self.server: ServerTransaction | None = None
        if server:
            key = server_key(self.request, self.request.headers.top_via, method)
            self.server = self.layer.accept(self.request, key, hop, hop, 0.0)
            self.server.user = self.user
        else:
            self.client = self.layer.request(self.request, hop, self.user, "z9hG4bKa", 0.0)
            self.client.start(0.0)
        self.note()

    def note(self) -> None:
        for data, _ in self.layer.out:
            self.sent.append((self.now, data.decode().split("\r\n")[0]))
        self.layer.out.clear()

    def until(self, end: float) -> Bench:
        while (due := self.layer.agenda.next()) is not None and due <= end:
            self.now = due
            self.layer.agenda.ring(due)
            self.note()
        self.now = end
        return self

    def get(self, status: int) -> Bench:
        assert self.client is not None
        self.client.receive(make_response(self.request, status), self.now)
        self.note()
        return self

    def reply(self, status: int) -> Bench:
        assert self.server is not None
        self.server.respond(make_response(self.request, status), self.now)
        self.note()
        return self

    def again(self, method: str | None = None) -> Bench:
        assert self.server is not None
        request = make_request(method or self.request.method)
        self.server.receive(request, self.now)
        self.note()
        return self

    def error(self) -> Bench:
        self.layer.fail(UDP, "connection refused", self.now)
        return self

    def abandon(self) -> Bench:
        machine = self.client or self.server
        assert machine is not None
        machine.abandon(self.now)
        return self

    @property
    def state(self) -> State | None:
        machine = self.client or self.server
        assert machine is not None
        return machine.state

    @property
    def times(self) -> list[float]:
        return [when for when, _ in self.sent]


def invite(hop: Hop = UDP) -> Bench:
    return Bench("INVITE", hop)


def other(hop: Hop = UDP) -> Bench:
    return Bench("OPTIONS", hop)


def invited(hop: Hop = UDP) -> Bench:
    return Bench("INVITE", hop, server=True)


def asked(hop: Hop = UDP) -> Bench:
    return Bench("OPTIONS", hop, server=True)


def test_invite_is_retransmitted_at_half_a_second_then_doubling_and_given_up_at_32() -> None:
    bench = invite().until(40)
    assert bench.times == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert bench.user.told == ["timeout at 32"]
    assert bench.state is State.TERMINATED


def test_other_requests_are_retransmitted_every_four_seconds_at_most() -> None:
    bench = other().until(40)
    assert bench.times == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.user.told == ["timeout at 32"]


def test_after_a_provisional_other_requests_are_retransmitted_every_four_seconds() -> None:
    bench = other().until(0.6).get(100).until(40)
    assert bench.times == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert bench.user.told == ["100", "timeout at 32"]


@pytest.mark.parametrize("make", [invite, other])
def test_nothing_is_retransmitted_on_tcp(make: Callable[[Hop], Bench]) -> None:
    bench = make(TCP).until(40)
    assert bench.times == [0]
    assert bench.user.told == ["timeout at 32"]


def test_a_provisional_stops_the_invite_for_good() -> None:
    bench = invite().until(0.7).get(180).until(300)
    assert bench.times == [0, 0.5]
    assert bench.state is State.PROCEEDING


def test_a_refusal_is_acknowledged_each_time_it_comes_for_32_seconds() -> None:
    bench = invite().get(100).get(486).until(31.9).get(486)
    assert [start for _, start in bench.sent] == ["INVITE sip:bob@192.0.2.2 SIP/2.0"] + [
        "ACK sip:bob@192.0.2.2 SIP/2.0"
    ] * 2
    assert bench.user.told == ["100", "486"]
    assert bench.state is State.COMPLETED
    assert bench.until(32).state is State.TERMINATED


def test_a_refusal_on_tcp_is_acknowledged_and_forgotten_at_once() -> None:
    bench = invite(TCP).get(486)
    assert bench.state is State.TERMINATED
    assert len(bench.sent) == 2
    assert not bench.layer.clients


@pytest.mark.parametrize("hop", [UDP, TCP])
def test_every_2xx_to_an_invite_is_passed_up_for_32_seconds(hop: Hop) -> None:
    bench = invite(hop).get(200).until(31.9).get(200)
    assert bench.user.told == ["200", "200"]
    assert bench.state is State.ACCEPTED
    assert bench.until(32).state is State.TERMINATED


def test_late_provisionals_after_the_answer_are_not_passed_up() -> None:
    assert invite().get(200).get(180).user.told == ["200"]


def test_repeated_finals_of_other_requests_are_absorbed_for_five_seconds() -> None:
    bench = other().get(200).until(4.9).get(200)
    assert bench.user.told == ["200"]
    assert bench.state is State.COMPLETED
    assert bench.until(5).state is State.TERMINATED
    assert other(TCP).get(404).state is State.TERMINATED


@pytest.mark.parametrize("make", [invite, other])
def test_a_transport_error_ends_a_request_at_once(make: Callable[[Hop], Bench]) -> None:
    for bench in (make(UDP).error(), make(UDP).get(100).error()):
        assert bench.user.told[-1] == "connection refused"
        assert bench.state is State.TERMINATED
        assert bench.layer.agenda.next() is None


def test_a_transport_error_after_the_final_response_tells_nobody() -> None:
    assert invite().get(486).error().user.told == ["486"]


@pytest.mark.parametrize("make", [invite, other, invited, asked])
def test_what_is_abandoned_is_gone_with_its_timers(make: Callable[[Hop], Bench]) -> None:
    bench = make(UDP).abandon()
    assert bench.state is State.TERMINATED
    assert bench.layer.agenda.next() is None
    assert not bench.layer.clients
    assert not bench.layer.servers


def test_after_a_provisional_a_request_can_be_abandoned_too() -> None:
    for bench in (invite().get(180), other().get(100), asked().reply(100)):
        assert bench.abandon().state is State.TERMINATED


def test_a_repeated_invite_gets_the_last_provisional_again() -> None:
    bench = invited().again()
    assert bench.sent == []
    bench.reply(180).again()
    assert [start for _, start in bench.sent] == ["SIP/2.0 180 Whatever"] * 2
    assert bench.state is State.PROCEEDING


def test_a_refusal_is_repeated_until_its_ack_and_then_the_acks_absorbed_for_five_seconds() -> None:
    bench = invited().reply(486).until(2).again("ACK").until(4).again("ACK")
    assert bench.times == [0, 0.5, 1.5]
    assert bench.state is State.CONFIRMED
    assert bench.until(7).state is State.TERMINATED


def test_a_refusal_never_acknowledged_is_given_up_after_32_seconds() -> None:
    bench = invited().reply(486).again().until(40)
    assert bench.times == [0, 0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert bench.state is State.TERMINATED


def test_a_refusal_on_tcp_is_sent_once_and_its_ack_ends_it() -> None:
    bench = invited(TCP).reply(486).until(10)
    assert bench.times == [0]
    assert bench.again("ACK").state is State.TERMINATED


@pytest.mark.parametrize("hop", [UDP, TCP])
def test_after_a_2xx_repeated_invites_are_absorbed_for_32_seconds(hop: Hop) -> None:
    bench = invited(hop).reply(200).again().until(31.9)
    assert bench.times == [0]
    assert bench.state is State.ACCEPTED
    assert bench.until(32).state is State.TERMINATED


def test_an_ack_with_the_branch_of_an_accepted_invite_is_passed_up() -> None:
    assert invited().reply(200).again("ACK").user.told == ["ACK"]


def test_a_second_final_response_is_refused() -> None:
    for bench in (invited(), asked()):
        bench.reply(200).reply(500)
        assert [start for _, start in bench.sent] == ["SIP/2.0 200 Whatever"]


def test_a_repeated_request_gets_the_final_response_again_for_32_seconds() -> None:
    bench = asked().again().reply(404).until(31.9).again()
    assert bench.times == [0, 31.9]
    assert bench.state is State.COMPLETED
    assert bench.until(32).state is State.TERMINATED
    assert asked(TCP).reply(200).state is State.TERMINATED


def test_a_repeated_request_gets_the_provisional_again() -> None:
    bench = asked().reply(100).again()
    assert bench.state is State.PROCEEDING
    assert len(bench.sent) == 2
    assert bench.reply(200).state is State.COMPLETED


def test_a_request_that_nobody_answers_is_forgotten() -> None:
    assert asked().until(32).state is State.TERMINATED
    assert asked().reply(100).until(32).state is State.TERMINATED


def test_the_ack_of_a_refusal_keeps_branch_route_and_number() -> None:
    bench = invite()
    assert bench.client is not None
    bench.client.receive(make_response(bench.request, 603), 0.0)
    ack = parse_datagram(bench.layer.out[-1].data)
    assert isinstance(ack, Request)
    assert ack.headers.top_via.branch == "z9hG4bKa"
    assert str(ack.headers.cseq) == "1 ACK"
    assert ack.headers.to.tag == "2"
    assert ack.headers.get_all("route") == ["<sip:p;lr>"]


ENTRANCES: dict[str, dict[State, Callable[[], Bench]]] = {
    "INVITE client": {
        State.CALLING: invite,
        State.PROCEEDING: lambda: invite().get(180),
        State.COMPLETED: lambda: invite().get(486),
        State.ACCEPTED: lambda: invite().get(200),
        State.TERMINATED: lambda: invite().until(32),
    },
    "Non-INVITE client": {
        State.TRYING: other,
        State.PROCEEDING: lambda: other().get(100),
        State.COMPLETED: lambda: other().get(200),
        State.TERMINATED: lambda: other().until(32),
    },
    "INVITE server": {
        State.PROCEEDING: invited,
        State.COMPLETED: lambda: invited().reply(486),
        State.CONFIRMED: lambda: invited().reply(486).again("ACK"),
        State.ACCEPTED: lambda: invited().reply(200),
        State.TERMINATED: lambda: invited().reply(200).until(32),
    },
    "Non-INVITE server": {
        State.TRYING: asked,
        State.PROCEEDING: lambda: asked().reply(100),
        State.COMPLETED: lambda: asked().reply(200),
        State.TERMINATED: lambda: asked().until(32),
    },
}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_state_is_entered_and_left_in_time_when_nothing_more_happens(table: Table) -> None:
    entrances = ENTRANCES[table.name]
    assert set(entrances) == set(table.states)
    for state, enter in entrances.items():
        bench = enter()
        assert bench.state is state
        if state is not State.TERMINATED and table.guards[state].owner == "transaction":
            bench.until(200)
            assert bench.state is State.TERMINATED
            assert bench.layer.agenda.next() is None


def test_a_process_that_slept_makes_up_for_it_with_no_burst() -> None:
    bench = invite()
    bench.now = 20.0
    bench.layer.agenda.ring(20.0)
    bench.note()
    assert bench.times.count(20.0) <= 3
