"""What a short ladder keeps, and which rows of two runs stand side by side."""

from __future__ import annotations

from dataclasses import replace

from callwright.evidence.excerpt import Beside, beside, excerpt
from callwright.evidence.ladder import GapRow, Ladder, MessageRow, Row, StreamRow
from callwright.evidence.lanes import Party

ALICE, PBX, BOB = range(3)
PARTIES = tuple(Party(name, "", (f"{name}:5060",)) for name in ("alice", "pbx", "bob"))
PLAIN = MessageRow(
    number=1, at=0.0, source=ALICE, destination=PBX, transport="UDP", label="INVITE", note="",
    method="INVITE", status=None, reason="", cseq="1 INVITE", call_id="a", media=None, repeat_of=None,
    lost=False, trouble=False, explanation=(), raw="", size=1,
)  # fmt: skip


def request(method: str, way: tuple[int, int], cseq: int = 1, **more: object) -> MessageRow:
    given = {"label": method, "method": method, "source": way[0], "destination": way[1]}
    return replace(PLAIN, **{"cseq": f"{cseq} {method}", **given, **more})  # type: ignore[arg-type]


def answer(status: int, method: str, way: tuple[int, int], cseq: int = 1, **more: object) -> MessageRow:
    return request(method, way, cseq, label=f"{status} Text", status=status, **more)


def stream(way: tuple[int, int], codec: str = "PCMA") -> StreamRow:
    return StreamRow(1.0, 2.0, *way, codec, 50, 0, 50, 7, ("a",), "h")


def ladder(*rows: Row) -> Ladder:
    return Ladder(PARTIES, rows, 0.0)


CALL: tuple[Row, ...] = (
    request("REGISTER", (BOB, PBX), call_id="r"),
    answer(200, "REGISTER", (PBX, BOB), call_id="r"),
    request("INVITE", (ALICE, PBX)),
    answer(407, "INVITE", (PBX, ALICE)),
    request("ACK", (ALICE, PBX)),
    request("INVITE", (ALICE, PBX), 2),
    answer(100, "INVITE", (PBX, ALICE), 2),
    request("INVITE", (PBX, BOB), call_id="b"),
    answer(180, "INVITE", (BOB, PBX), call_id="b"),
    answer(180, "INVITE", (PBX, ALICE), 2),
    GapRow(1.0, 2.0, "2 s"),
    answer(200, "INVITE", (BOB, PBX), call_id="b"),
    answer(200, "INVITE", (PBX, ALICE), 2),
    request("ACK", (ALICE, PBX), 2),
    stream((ALICE, BOB)),
    stream((BOB, ALICE)),
    request("BYE", (ALICE, PBX), 3),
    answer(200, "BYE", (PBX, ALICE), 3),
)


def told(rows: list[Row]) -> list[str]:
    return [
        "RTP" if isinstance(row, StreamRow) else f"{row.status} to {row.method}" if row.status else row.label
        for row in rows
        if isinstance(row, MessageRow | StreamRow)
    ]


def test_excerpt_of_a_call_has_what_its_caller_sent_and_waited_for() -> None:
    kept = excerpt(ladder(*CALL))
    assert told(kept) == [
        "INVITE", "INVITE", "180 to INVITE", "200 to INVITE", "RTP", "RTP", "BYE", "200 to BYE"
    ]  # fmt: skip
    assert [row.source for row in kept[:2] if isinstance(row, MessageRow)] == [ALICE, PBX]


def test_message_at_fault_is_in_the_excerpt_whatever_it_is() -> None:
    refused = answer(403, "REGISTER", (PBX, BOB), call_id="r", trouble=True)
    assert told(excerpt(ladder(refused, *CALL)))[0] == "403 to REGISTER"
    assert excerpt(ladder(*CALL[:2])) == []
    assert excerpt(ladder()) == []


def test_same_message_of_two_runs_is_at_the_same_height() -> None:
    rows = beside(ladder(*CALL), ladder(*CALL))
    assert len(rows) == len(CALL) - 1  # the gap
    assert not any(row.differs for row in rows)
    assert all(row.before == row.after for row in rows)


def test_message_that_one_run_has_alone_stands_beside_nothing() -> None:
    early = answer(183, "INVITE", (PBX, ALICE), 2)
    rows = beside(ladder(*CALL), ladder(*CALL[:9], early, *CALL[10:]))
    apart = [row for row in rows if row.differs]
    assert apart == [Beside(CALL[9], None), Beside(None, early)]  # type: ignore[arg-type]
    assert rows.index(apart[1]) == rows.index(apart[0]) + 1


def test_another_final_answer_stands_beside_the_one_in_whose_place_it_came() -> None:
    busy = answer(486, "INVITE", (PBX, ALICE), 2, trouble=True)
    rows = beside(ladder(*CALL[:10], *CALL[12:14]), ladder(*CALL[:10], busy, CALL[13]))
    assert [row for row in rows if row.differs] == [Beside(CALL[12], busy)]  # type: ignore[arg-type]


def test_answer_to_a_re_invite_is_not_that_to_the_invite() -> None:
    way, back = (ALICE, PBX), (PBX, ALICE)
    call: tuple[Row, ...] = (request("INVITE", way), answer(200, "INVITE", back))
    held: tuple[Row, ...] = (request("INVITE", way, 2, label="re-INVITE"), answer(200, "INVITE", back, 2))
    rows = beside(ladder(*call), ladder(*call, *held))
    assert [row.differs for row in rows] == [False, False, True, True]
    assert [row.before for row in beside(ladder(*call), ladder(*held, *call))][2:] == list(call)


def test_rows_of_different_lanes_are_never_side_by_side() -> None:
    one, two = request("OPTIONS", (ALICE, PBX)), request("OPTIONS", (BOB, PBX))
    assert beside(ladder(one), ladder(two)) == [Beside(one, None), Beside(None, two)]
    turned = Ladder(tuple(reversed(PARTIES)), (request("OPTIONS", (BOB, PBX)),), 0.0)
    assert not beside(ladder(one), turned)[0].differs  # lanes are compared by name


def test_streams_stand_side_by_side_whichever_began_first() -> None:
    invite, ok = request("INVITE", (ALICE, PBX)), answer(200, "INVITE", (PBX, ALICE), at=0.5)
    bye = request("BYE", (ALICE, PBX), at=5.0)
    one, two, early = stream((ALICE, BOB)), stream((BOB, ALICE)), replace(stream((BOB, ALICE)), at=0.4)
    rows = beside(ladder(invite, ok, one, two, bye), ladder(invite, early, ok, one, bye))
    assert [row.before for row in rows] == [invite, ok, one, two, bye]
    assert [row.after for row in rows] == [invite, ok, one, early, bye]
    assert not any(row.differs for row in rows)
    assert beside(ladder(invite, one), ladder(invite))[-1] == Beside(one, None)


def test_other_codec_of_a_stream_differs_and_its_quality_does_not() -> None:
    one, two = stream((ALICE, BOB)), replace(stream((ALICE, BOB)), note="MOS 3.1", at=9.0)
    assert not Beside(one, two).differs
    assert Beside(one, stream((ALICE, BOB), "PCMU")).differs
