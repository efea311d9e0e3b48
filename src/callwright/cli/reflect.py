"""`callwright reflect`: a STAMP session reflector, the far end of `callwright probe udp`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.cli.console import JsonFlag, VerboseFlag, print_json
from callwright.host.operator import EXIT_PASSED, EXIT_PLATFORM, Refused, say
from callwright.host.signals import run_async

if TYPE_CHECKING:
    from callwright.phone.permission import Permission

app = typer.Typer(rich_markup_mode="rich", add_completion=False)

_MOST_HOSTS = 4096
_MOST_TOLD = 20


@app.command(
    epilog="[bold]Examples[/bold]\n\n  callwright reflect\n\n"
    "  callwright reflect --bind 192.0.2.10 --port 8620 --allow 198.51.100.0/24"
)
def reflect(
    bind: Annotated[str, typer.Option("--bind", metavar="HOST", help="Listen on this address.")] = "0.0.0.0",
    port: Annotated[int, typer.Option("--port", min=0, max=65_535, help="UDP port; 0: any free one.")] = 862,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="HOST|CIDR", help="Answer this host or network too; repeat it."),
    ] = None,
    as_json: JsonFlag = False,
    verbose: VerboseFlag = False,
) -> int:
    """Answer STAMP packets (RFC 8762) until Ctrl-C.

    Senders on this machine and in private ranges are answered; others need --allow, since a reflector that
    answers everybody can be made to flood a third party. Each answer is as long as its question.
    """
    from callwright.cli.remedies import with_allow
    from callwright.net.address import numeric_host
    from callwright.phone.permission import Permission
    from callwright.policy.destination import PolicyError, Purpose, Rules, parse_allow

    numeric = numeric_host(bind)
    if numeric is None:
        raise Refused(f"--bind takes an address of this machine, not {bind!r}", "For example: 192.0.2.10")
    try:
        targets = tuple(parse_allow(text) for text in allow or ())
    except PolicyError as error:
        raise Refused(str(error)) from None
    permission = Permission(Purpose.RUN, Rules(targets=targets), with_allow)
    answered, ignored, refused = run_async(lambda stop: _serve(numeric, port, permission, stop))
    if as_json:
        print_json({"answered": answered, "ignored": ignored, "refused": refused})
    else:
        say(f"{answered:,} packets answered, {ignored:,} ignored, {refused:,} refused by policy")
    return EXIT_PASSED


async def _serve(host: str, port: int, permission: Permission, stop: asyncio.Event) -> tuple[int, int, int]:
    from callwright.net.clock import SystemClock, synchronised
    from callwright.net.exchange import Arrival, ReflectingSocket
    from callwright.phone.permission import NotPermitted
    from callwright.probe.stamp import Reflector
    from callwright.sip.transport import Address

    clock, known, told, refused = SystemClock(), dict[str, bool](), 0, 0

    def permitted(source: str) -> bool:
        nonlocal told
        if source not in known:
            if len(known) >= _MOST_HOSTS:
                known.clear()
            try:
                permission.place(source, source)
                known[source] = True
            except NotPermitted as error:
                known[source] = False
                told += 1
                if told <= _MOST_TOLD:
                    say(f"not answered: {error}")
        return known[source]

    def take(batch: list[Arrival]) -> None:
        nonlocal refused
        for arrival in batch:
            if permitted(arrival.source.host):
                reflector.receive(arrival.data, arrival.source, arrival.now, arrival.wall, arrival.ttl)
            else:
                refused += 1
        for answer in reflector.transmissions(clock.wall()):
            opened.send(answer.data, Address(*answer.remote))

    try:
        opened = ReflectingSocket(host, port, clock=clock, on_batch=take)
    except OSError as error:
        raise Refused(
            f"UDP port {port} of {host} cannot be opened: {error.strerror or error}",
            "Choose another with --port, and name it to the sender: callwright probe udp HOST:PORT.",
            code=EXIT_PLATFORM,
            blame="platform",
        ) from None
    reflector = Reflector(opened.local.port, synchronised=synchronised())
    say(f"reflecting on {opened.local}; Ctrl-C ends")
    await stop.wait()
    opened.close()
    return reflector.answered, reflector.ignored, refused
