"""Random and mutated SIP at a running PBX, in virtual time: it never breaks, serves on, and forgets it all.

`make fuzz-pbx` goes on for SECONDS with ever new seeds; a seed that fails is named, and found again by
CALLWRIGHT_FUZZ_PBX_SEED.
"""

from __future__ import annotations

import gc
import os
import random
import resource
import time
from collections.abc import Callable

from callwright.pbx.plan import ConferenceRoom, Menu, PbxPlan, Queue
from callwright.sip.events import CallAnswered, CallReceived, Event, OfferReceived
from callwright.sip.transport import Address, Hop, Transport
from tests.simulation.exchange import ANSWER, DOMAIN, OFFER, PBX, Exchange, PhoneAt, account
from tests.simulation.test_pbx_presence import document

SECONDS = float(os.environ.get("CALLWRIGHT_FUZZ_PBX_SECONDS", "0"))
SEED = int(os.environ.get("CALLWRIGHT_FUZZ_PBX_SEED", "1"))
MESSAGES = 400  # of one seed
MOST_GROWTH = 200  # MiB, over all seeds
PLAN = PbxPlan(
    (account("1001"), account("1002"), account("1003", mailbox=True)),
    queues=(Queue("600", ("1002",)),),
    menus=(Menu("700", (("1", "1002"),)),),
    conferences=(ConferenceRoom("800"),),
)
NASTY = (
    *(
        b"",
        b"\x00",
        b"\xff\xfe",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b";",
        b",",
        b"<",
        b">",
        b'"',
        b"%00",
        b"%",
        b"\\",
    ),
    *(
        b"-1",
        b"0",
        b"99999999999999999999",
        b"4294967296",
        b"a" * 3_000,
        b"sip:",
        b"sip:@",
        b"sip:[::1",
        b"*",
    ),
    *(
        b"z9hG4bK",
        b"SIP/2.0",
        b"sip:1002@pbx.test",
        b"tag=",
        b"Replaces",
        b"Content-Length: 99999",
        b"Expires: 0",
    ),
)
HEADERS = (
    *(
        "Via",
        "From",
        "To",
        "Call-ID",
        "CSeq",
        "Contact",
        "Max-Forwards",
        "Expires",
        "Event",
        "Require",
        "Replaces",
    ),
    *(
        "Refer-To",
        "Session-Expires",
        "Min-SE",
        "RAck",
        "RSeq",
        "SIP-If-Match",
        "Path",
        "Route",
        "Record-Route",
    ),
    *("Content-Type", "Content-Length", "Authorization", "Proxy-Authorization", "Allow-Events", "Supported"),
)
METHODS = (
    *(
        "INVITE",
        "ACK",
        "BYE",
        "CANCEL",
        "OPTIONS",
        "REGISTER",
        "SUBSCRIBE",
        "NOTIFY",
        "PUBLISH",
        "REFER",
        "INFO",
    ),
    *("MESSAGE", "UPDATE", "PRACK", "FOO", ""),
)


def living(exchange: Exchange) -> tuple[PhoneAt, PhoneAt]:
    """Two phones that call, answer and hold as phones do, so that there is something to mutate."""
    alice, bob = exchange.registered("1001"), exchange.registered("1002")

    def answers(phone: PhoneAt, body: bytes) -> Callable[[Event], None]:
        def react(event: Event) -> None:
            if isinstance(event, CallReceived):
                event.call.ring(now=phone.now)
                event.call.answer(body, now=phone.now)
            elif isinstance(event, CallAnswered):
                event.call.acknowledge(now=phone.now)
            elif isinstance(event, OfferReceived):
                event.call.accept_offer(body, now=phone.now)

        return react

    alice.react, bob.react = answers(alice, OFFER), answers(bob, ANSWER)
    return alice, bob


def asks(phone: PhoneAt, chance: random.Random) -> None:
    """One of the requests outside of calls."""
    method, event = chance.choice(
        (
            ("SUBSCRIBE", "dialog"),
            ("SUBSCRIBE", "presence"),
            ("SUBSCRIBE", "message-summary"),
            ("PUBLISH", "presence"),
            ("MESSAGE", ""),
            ("OPTIONS", ""),
        )
    )
    user = (
        phone.user
        if method == "PUBLISH" or event == "message-summary"
        else chance.choice(("1002", "queue-600"))
    )
    phone.endpoint.request(
        method,
        f"sip:{user}@{DOMAIN}",
        local=phone.identity,
        hop=phone.hop,
        now=phone.now,
        credentials=phone.credentials,
        body=mutated(document(), chance) if method == "PUBLISH" else b"",
        content_type="application/pidf+xml" if method == "PUBLISH" else None,
        headers=[*([("Event", event)] if event else []), *odd(chance)],
    )


def odd(chance: random.Random) -> list[tuple[str, str]]:
    """Headers that no phone sends, of one that has a password: what lies behind the digest reads them."""
    lines = [one.decode("latin-1") for one in NASTY if one.isascii() and not set(one) & set(b"\r\n\x00")]
    return [(chance.choice(HEADERS[6:]), chance.choice(lines)) for _ in range(chance.randrange(3))]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """The same with one to five faults."""
    for _ in range(chance.randint(1, 5)):
        lines = data.split(b"\r\n")
        at, where = chance.randrange(len(lines)), chance.randrange(len(data) + 1)
        match chance.randrange(10):
            case 0:
                data = data[:where] + chance.choice(NASTY) + data[where:]
            case 1:
                data = data[:where] + data[where + chance.randint(1, 40) :]
            case 2:
                data = data[:where] + bytes([chance.randrange(256)]) + data[where + 1 :]
            case 3:
                lines.insert(chance.randrange(len(lines)), lines[at])
                data = b"\r\n".join(lines)
            case 4:
                del lines[at]
                data = b"\r\n".join(lines)
            case 5:
                value = chance.choice((chance.choice(NASTY), lines[at].partition(b":")[2]))
                lines.insert(1 + at // 2, chance.choice(HEADERS).encode() + b": " + value)
                data = b"\r\n".join(lines)
            case 6:
                name, colon, _ = lines[at].partition(b":")
                lines[at] = name + colon + b" " + chance.choice(NASTY)
                data = b"\r\n".join(lines)
            case 7:
                data = data[:where]
            case 8:
                method = chance.choice(METHODS).encode()
                data = data.replace(data.partition(b" ")[0], method) if data[:3] != b"SIP" else data
            case _:
                number = str(
                    chance.choice((100, 180, 183, 200, 202, 302, 401, 407, 422, 481, 491, 503, 603, 999))
                )
                data = data.replace(b" 200 ", f" {number} ".encode(), 1)
    return data


def round_of(seed: int) -> None:
    """One PBX, a few hundred messages, and whether it serves on and forgets."""
    chance = random.Random(seed)
    exchange = Exchange(plan=PLAN)
    alice, bob = living(exchange)
    strangers = [Address(f"203.0.113.{number}", 5060) for number in range(1, 6)]
    for number in range(MESSAGES):
        if number % 20 == 0:
            target = chance.choice(("1002", "600", "700", "800", "1003", "4711"))
            offer = mutated(OFFER, chance) if chance.random() < 0.3 else OFFER
            placed = alice.call(target, body=offer, headers=odd(chance) if chance.random() < 0.3 else [])
            exchange.pass_time(chance.choice((0, 0.1)))
        if number % 20 == 5:
            asks(alice, chance)
            placed.send("INFO", b"Signal=5", now=alice.now, content_type="application/dtmf-relay")
            placed.send("REFER", now=alice.now, headers=[("Refer-To", "<sip:1003@pbx.test>")])
            exchange.pass_time(0)
        seen = exchange.log
        source = chance.choice((alice.address, bob.address, *strangers))
        data = mutated(chance.choice(seen).data, chance)
        if chance.random() < 0.1:
            data = chance.randbytes(chance.randrange(1_500))
        transport = chance.choice((Transport.UDP, Transport.UDP, Transport.TCP))
        exchange.pbx.receive(data, Hop(transport, PBX, source), exchange.clock.now)
        exchange.pass_time(chance.choice((0, 0, 0.05, 1)))
        if number % 20 == 19 and chance.random() < 0.7:
            placed.hangup(now=exchange.clock.now)
        if len(seen) > 3_000:
            del seen[:1_000]
    for address in (alice.address, bob.address, *strangers):
        exchange.pbx.transport_failed(Hop(Transport.TCP, PBX, address), "closed", exchange.clock.now)
    for phone in (alice, bob):
        phone.restart()
    exchange.pass_time(5 * 3_600)
    assert exchange.pbx.live == 0
    assert sum(exchange.pbx.endpoint.pending()) == 0, exchange.pbx.endpoint.pending()
    carol, dave = exchange.registered("1001"), exchange.registered("1002")
    carol.call("1002")
    exchange.pass_time(0)
    dave.one(CallReceived).call.answer(ANSWER, now=dave.now)
    exchange.pass_time(0)
    assert carol.all(CallAnswered), "it serves on"


def test_mutated_messages_break_nothing_and_leave_nothing() -> None:
    begun, seed, first = time.monotonic(), SEED, 0.0
    while True:
        try:
            round_of(seed)
        except BaseException:
            print(f"CALLWRIGHT_FUZZ_PBX_SEED={seed}")
            raise
        seed += 1
        if seed - SEED == 3:
            gc.collect()
            first = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if seed - SEED >= 3 and time.monotonic() - begun >= SECONDS:
            break
    gc.collect()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - first
    print(f"{seed - SEED} seeds of {MESSAGES} messages, {grown:.1f} MiB more than after the first three")
    assert grown < MOST_GROWTH
