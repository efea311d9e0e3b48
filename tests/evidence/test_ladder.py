from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest

from callwright.evidence.ladder import GapRow, Ladder, MessageRow, StreamRow, build_ladder
from callwright.evidence.naming import call_names, with_quality
from callwright.net.tap import Packet
from callwright.outcome.call import StreamOutcome
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RegistrationOutcome
from tests.evidence.sample import ALICE, ALICE_CALL, PBX, STARTED, packets, run

A, B = ("192.0.2.1", 5060), ("192.0.2.2", 5060)


def ladder_of(seen: Sequence[Packet]) -> Ladder:
    return build_ladder(seen, origin=STARTED, call_names=call_names(run()))


def sample() -> Ladder:
    return ladder_of(packets())


def message(first: str, cseq: str, *more: str, body: str = "", to_tag: str = "", call_id: str = "c") -> bytes:
    lines = [
        first,
        "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1",
        'From: "Al" <sip:al@example.com>;tag=f',
        f"To: <sip:bo@example.com>{to_tag}",
        f"Call-ID: {call_id}",
        f"CSeq: {cseq}",
        "Max-Forwards: 70",
        *more,
        f"Content-Length: {len(body)}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def seen(data: bytes, at: float = 0.0, *, out: bool = True, transport: str = "UDP") -> Packet:
    return Packet(STARTED + at, 100 + at, "out" if out else "in", "sip", transport, A, B, data)


def only(*data: bytes) -> list[MessageRow]:
    return build_ladder(
        [seen(d, n * 0.1, out=not d.startswith(b"SIP/2.0")) for n, d in enumerate(data)]
    ).messages


class TestLanes:
    def test_the_caller_stands_left_and_the_callee_right_whoever_registered_first(self) -> None:
        assert [party.name for party in sample().parties] == ["Alice", "PBX", "Bob"]

    def test_a_connection_and_the_media_belong_to_the_party_that_names_them(self) -> None:
        alice, pbx, _ = sample().parties
        assert alice.addresses == ("198.51.100.24:5060", "198.51.100.24:40002")
        assert "10.0.0.12:16400" in pbx.addresses

    def test_a_name_that_is_given_wins(self) -> None:
        ladder = build_ladder(packets(), names={"192.0.2.10": "Trunk"})
        assert [party.name for party in ladder.parties][1] == "Trunk"

    def test_a_pbx_that_refuses_the_call_keeps_its_name_and_so_does_the_phone_that_registered(self) -> None:
        invite = message("INVITE sip:9999@192.0.2.2 SIP/2.0", "1 INVITE", call_id="i")
        register = message("REGISTER sip:192.0.2.2 SIP/2.0", "1 REGISTER", call_id="r")
        third = seen(register)._replace(local=("192.0.2.3", 5060))
        registered = RegistrationOutcome(
            party="bob", messages=(CapturedMessage("200", (("Call-ID", "r"),)),), account="1002@192.0.2.2"
        )
        names = call_names(dataclasses.replace(run(), registrations=(registered,)))
        ladder = build_ladder([third, seen(invite, 0.1)], call_names=names)
        assert [party.name for party in ladder.parties] == ["Al", "PBX", "bob"]

    def test_a_proxy_that_keeps_the_call_id_has_the_name_of_neither_end(self) -> None:
        invite = message("INVITE sip:4102@192.0.2.2 SIP/2.0", "1 INVITE", call_id="i")
        on = seen(invite, 0.1)._replace(local=B, remote=("192.0.2.3", 5060))
        names = {("i", "caller"): "alice", ("i", "callee"): "bob"}
        ladder = build_ladder([seen(invite), on], call_names=names)
        assert [party.name for party in ladder.parties] == ["alice", "PBX", "bob"]
        back = seen(invite, 0.1)._replace(local=B, remote=A)
        spiral = build_ladder([seen(invite), back], call_names=names)
        assert [party.name for party in spiral.parties] == ["alice", "PBX"]

    def test_a_product_that_a_server_tells_is_its_role(self) -> None:
        assert sample().parties[1].role == "ExamplePBX 4.3.0"

    def test_no_packets_give_an_empty_ladder(self) -> None:
        assert build_ladder([]) == Ladder((), (), 0.0)


class TestRows:
    def test_messages_come_in_order_of_time_with_numbers(self) -> None:
        rows = sample().messages
        assert len(rows) == 22
        assert [row.number for row in rows] == list(range(1, 23))
        assert [row.label for row in rows[:6]] == [
            "REGISTER",
            "401 Unauthorized",
            "REGISTER",
            "200 OK",
            "INVITE",
            "100 Trying",
        ]
        assert rows[4].at == pytest.approx(0.043, abs=1e-6)

    def test_a_message_that_both_ends_show_is_one(self) -> None:
        data = message("OPTIONS sip:bo@example.com SIP/2.0", "1 OPTIONS")
        arrival = Packet(STARTED, 100.01, "in", "sip", "UDP", B, A, data)
        assert len(build_ladder([seen(data), arrival]).messages) == 1

    def test_a_datagram_that_never_arrived_is_marked_lost(self) -> None:
        data = message("OPTIONS sip:bo@example.com SIP/2.0", "1 OPTIONS")
        other = message("OPTIONS sip:bo@example.com SIP/2.0", "2 OPTIONS")
        arrival = Packet(STARTED, 101.01, "in", "sip", "UDP", B, A, other)
        first, second = build_ladder([seen(data), seen(other, 1), arrival]).messages
        assert (first.lost, first.note, first.trouble) == (True, "lost", True)
        assert not second.lost

    def test_a_retransmission_says_what_it_repeats(self) -> None:
        row = next(row for row in sample().messages if row.repeat_of)
        assert (row.label, row.repeat_of, row.note) == ("INVITE", 7, "repeats 7")
        assert "no answer to it came in time" in row.explanation[0]

    def test_messages_are_cut_out_of_a_stream_at_any_octet(self) -> None:
        stream = b"\r\n\r\n" + b"".join(
            message("OPTIONS sip:bo@example.com SIP/2.0", f"{n} OPTIONS", body="x" * n) for n in range(3)
        )
        for cut in range(1, len(stream), 37):
            rows = build_ladder(
                [seen(stream[:cut], transport="TCP"), seen(stream[cut:], 0.1, transport="TCP")]
            ).messages
            assert [row.cseq for row in rows] == ["0 OPTIONS", "1 OPTIONS", "2 OPTIONS"]

    def test_keep_alives_are_no_messages(self) -> None:
        assert build_ladder([seen(b"\r\n\r\n"), seen(b"\0\0\0\0")]).messages == []

    def test_garbage_is_shown_and_said(self) -> None:
        (row,) = only(b"GET / HTTP/1.1\r\n\r\n\xff\x00")
        assert (row.label, row.trouble) == ("not SIP", True)
        assert "not a SIP message" in row.explanation[0]
        assert "\0" not in row.raw

    def test_a_silence_of_more_than_a_second_is_one_short_row(self) -> None:
        gaps = [row.text for row in sample().rows if isinstance(row, GapRow)]
        assert gaps == ["2.0 s ringing", "4.0 s talking", "12.2 s talking"]


class TestStreams:
    def test_each_direction_has_its_codec_its_loss_and_its_call(self) -> None:
        to_alice = next(s for s in sample().streams if s.destination == 0)
        assert (to_alice.codec, to_alice.lost, to_alice.expected) == ("PCMA", 2, 811)
        assert to_alice.call_ids == (ALICE_CALL,)

    def test_audio_for_a_private_address_out_there_is_out_of_reach(self) -> None:
        lost = [s for s in sample().streams if s.out_of_reach]
        assert [(s.destination_address, s.packets) for s in lost] == [("10.0.0.12:16400", 612)]

    def test_a_stream_says_how_good_it_was_when_a_phone_rated_just_it(self) -> None:
        ladder = with_quality(sample(), run())
        assert sorted(s.note for s in ladder.streams) == [
            "200 packets",
            "612 lost",
            "813 packets",
            "MOS 4.31 Excellent",
            "MOS 4.38 Excellent",
        ]

    def test_a_call_without_a_named_party_does_not_mix_up_its_directions(self) -> None:
        alice = dataclasses.replace(run().calls[0], party=None, sent=StreamOutcome(mos=3.9))
        only_alice = [packet for packet in packets() if packet.local[0] == ALICE and packet.remote[0] == PBX]
        ladder = with_quality(build_ladder(only_alice), dataclasses.replace(run(), calls=(alice,)))
        assert {(s.source, s.note) for s in ladder.streams} == {
            (0, "MOS 3.90 Fair"),
            (1, "MOS 4.31 Excellent"),
        }

    def test_sequence_numbers_are_followed_over_their_cycle(self) -> None:
        def rtp(n: int) -> Packet:
            data = bytes([0x80, 0]) + (n & 0xFFFF).to_bytes(2, "big") + bytes(8) + b"x"
            return Packet(STARTED, 100 + n / 50, "in", "rtp", "UDP", A, B, data)

        numbers = [65533, 65534, 65536, 65535, 65538, 65538]
        (stream,) = build_ladder([rtp(n) for n in numbers]).streams
        assert (stream.lost, stream.expected) == (1, 6)

    def test_what_only_the_sender_saw_at_either_end_is_no_loss_but_a_silent_end_is(self) -> None:
        def stream(sent: range, arrived: range) -> StreamRow:
            def rtp(n: int) -> bytes:
                return bytes([0x80, 0, 0, n]) + bytes(9)

            out = [Packet(STARTED, 100 + n / 50, "out", "rtp", "UDP", A, B, rtp(n)) for n in sent]
            back = [Packet(STARTED, 100 + n / 50, "in", "rtp", "UDP", B, A, rtp(n)) for n in arrived]
            (row,) = build_ladder([*out, *back]).streams
            return row

        assert stream(range(100), range(1, 98)).lost == 0
        assert stream(range(100), range(40)).lost == 60
        assert stream(range(100), range(0, 99, 2)).lost == 49

    def test_octets_that_are_not_rtp_are_passed_over(self) -> None:
        junk = [Packet(STARTED, 100, "in", "rtp", "UDP", A, B, data) for data in (b"", b"x", b"\0" * 40)]
        assert build_ladder(junk).streams == []


class TestExplanations:
    def test_a_challenge_then_refused_credentials(self) -> None:
        invite = message("INVITE sip:bo@example.com SIP/2.0", "1 INVITE")
        challenge = message(
            "SIP/2.0 407 Proxy Authentication Required", "1 INVITE", 'Proxy-Authenticate: Digest realm="pbx"'
        )
        again = message("INVITE sip:bo@example.com SIP/2.0", "2 INVITE", 'Proxy-Authorization: Digest x="y"')
        refused = message("SIP/2.0 407 No", "2 INVITE", 'Proxy-Authenticate: Digest realm="pbx"')
        rows = only(invite, challenge, again, refused)
        assert (
            "asks for credentials: 407 Proxy Authentication Required, realm “pbx”" in rows[1].explanation[0]
        )
        assert not rows[1].trouble
        assert rows[2].note == "with credentials"
        assert "does not accept the credentials" in rows[3].explanation[0]
        assert rows[3].trouble

    @pytest.mark.parametrize(
        ("status", "says"),
        [
            ("486 Busy Here", "is busy: 486 Busy Here"),
            ("488 Not Acceptable Here", "no common codec"),
            ("404 Not Found", "does not know this user"),
            ("499 Odd", "refuses the request: 499 Odd"),
            ("699 Odd", "refuses the call everywhere: 699 Odd"),
        ],
    )
    def test_a_refusal_says_what_it_means(self, status: str, says: str) -> None:
        rows = only(
            message("INVITE sip:bo@example.com SIP/2.0", "1 INVITE"), message(f"SIP/2.0 {status}", "1 INVITE")
        )
        assert says in rows[1].explanation[0]
        assert rows[1].trouble

    def test_the_end_of_a_canceled_call_is_no_trouble(self) -> None:
        rows = only(
            message("INVITE sip:bo@example.com SIP/2.0", "1 INVITE"),
            message("CANCEL sip:bo@example.com SIP/2.0", "1 CANCEL"),
            message("SIP/2.0 200 OK", "1 CANCEL"),
            message("SIP/2.0 487 Request Terminated", "1 INVITE"),
            message("ACK sip:bo@example.com SIP/2.0", "1 ACK"),
        )
        assert not any(row.trouble for row in rows)
        assert "got the 487" in rows[4].explanation[0]

    def test_hold_and_resume_are_told(self) -> None:
        def sdp(direction: str) -> str:
            return f"v=0\r\nc=IN IP4 192.0.2.1\r\nm=audio 4000 RTP/AVP 0\r\na={direction}\r\n"

        invite = "INVITE sip:bo@example.com SIP/2.0"
        rows = only(
            message(invite, "1 INVITE", body=sdp("sendrecv")),
            message(invite, "2 INVITE", body=sdp("sendonly"), to_tag=";tag=t"),
            message(invite, "3 INVITE", body=sdp("sendrecv"), to_tag=";tag=t"),
        )
        assert [(row.label, row.note) for row in rows] == [
            ("INVITE", "PCMU"),
            ("re-INVITE", "hold, sendonly"),
            ("re-INVITE", "resume"),
        ]

    def test_a_move_of_audio_to_an_unreachable_address_is_the_trouble(self) -> None:
        row = next(row for row in sample().messages if row.label == "re-INVITE")
        assert row.trouble
        assert row.note == "audio to 10.0.0.12"
        assert any("private address" in sentence for sentence in row.explanation)

    @pytest.mark.parametrize(
        "body",
        [
            "m=audio 70000 RTP/AVP 4294967296 0\r\n",
            "m=audio x RTP/AVP\r\n",
            "m=audio 4000 RTP/AVP " + "9" * 5000,
            "c=\r\nm=audio 1 RTP/AVP 0\r\na=rtpmap:\r\na=rtpmap:0\r\no=\r\n",
            "m=audio\r\n",
            "\x00\xff",
        ],
    )
    def test_no_sdp_is_too_strange_to_be_shown(self, body: str) -> None:
        (row,) = only(message("INVITE sip:bo@example.com SIP/2.0", "1 INVITE", body=body))
        assert row.explanation

    def test_secrets_are_not_in_the_raw_text(self) -> None:
        raw = "\n".join(row.raw for row in sample().messages)
        assert "6629fae49393a05397450978507c4ef1" not in raw
        assert 'username="4102"' in raw


class TestASecondSocket:
    """A phone whose peer gives a Contact in another network sends what follows from another address."""

    def ladder(self) -> Ladder:
        phone, pbx, other, far = A, B, ("198.51.100.9", 40000), ("10.0.0.12", 5060)
        to = ";tag=t"
        heard = message(
            "SIP/2.0 200 OK", "1 INVITE", "Contact: <sip:bo@10.0.0.12:5060>", to_tag=to, call_id="x"
        )

        def packet(
            at: float, direction: str, local: tuple[str, int], remote: tuple[str, int], data: bytes
        ) -> Packet:
            return Packet(STARTED + at, 100 + at, direction, "sip", "UDP", local, remote, data)  # type: ignore[arg-type]

        return build_ladder(
            [
                packet(0.0, "out", phone, pbx, message("INVITE sip:bo@x SIP/2.0", "1 INVITE", call_id="x")),
                packet(0.1, "in", phone, pbx, heard),
                packet(
                    0.2, "out", other, far, message("ACK sip:bo@x SIP/2.0", "1 ACK", to_tag=to, call_id="x")
                ),
            ]
        )

    def test_what_it_sends_from_there_starts_at_its_own_lane(self) -> None:
        ladder = self.ladder()
        assert ladder.messages[-1].source == ladder.messages[0].source == 0
        assert "198.51.100.9:40000" in ladder.parties[0].addresses

    def test_the_address_in_the_contact_is_named_after_whose_it_is(self) -> None:
        ladder = self.ladder()
        assert [party.name for party in ladder.parties] == ["Al", "Callee", "Callee Contact"]


def test_a_held_call_is_not_talking() -> None:
    sdp = (
        "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n"
        "m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n"
    )
    held = message(
        "INVITE sip:bo@x SIP/2.0", "2 INVITE", "Content-Type: application/sdp", body=sdp, to_tag=";tag=t"
    )
    ladder = build_ladder(
        [
            seen(message("INVITE sip:bo@x SIP/2.0", "1 INVITE")),
            seen(message("SIP/2.0 200 OK", "1 INVITE", to_tag=";tag=t"), 0.1, out=False),
            seen(held, 3.0),
            seen(message("SIP/2.0 200 OK", "2 INVITE", to_tag=";tag=t"), 3.1, out=False),
            seen(message("BYE sip:bo@x SIP/2.0", "3 BYE", to_tag=";tag=t"), 6.0),
        ]
    )
    assert [row.text for row in ladder.rows if isinstance(row, GapRow)] == ["2.9 s talking", "2.9 s on hold"]
