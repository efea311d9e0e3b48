"""What sends by Apprise reaches permitted addresses, and nothing else of this machine."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from callwright.control.notifications.delivery import Undelivered
from callwright.host.apprise_child import _Guard, _Refused, without_secrets
from callwright.host.apprise_sender import AppriseSender


async def test_a_message_reaches_a_service_at_a_permitted_address_and_no_other() -> None:
    got: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        got.append(await reader.readexactly(int(length.split(b":")[1])))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        url = f"json://somebody:s3cretword@127.0.0.1:{port}/inbox"
        await AppriseSender(["127.0.0.0/8"]).announce(url, "Opened: It sounds bad", "Two servers say so.")
        told = json.loads(got.pop())
        assert (told["title"], told["message"]) == ("Opened: It sounds bad", "Two servers say so.")
        with pytest.raises(Undelivered) as refused:
            await AppriseSender().announce(url, "Opened", "Two servers say so.")
    assert str(refused.value) == "127.0.0.1 is a loopback address: it is not connected to."
    assert got == []


@pytest.mark.parametrize(
    ("event", "arguments"),
    [
        ("socket.connect", (None, ("10.0.0.1", 25))),
        ("socket.connect", (None, ("::ffff:169.254.169.254", 80, 0, 0))),
        ("socket.connect", (None, "/run/dbus/system_bus_socket")),
        ("socket.sendto", (None, ("192.168.1.1", 514))),
        ("subprocess.Popen", ("/bin/sh", [], None, None)),
        ("os.posix_spawn", ("/bin/sh", [], {})),
        ("open", ("/var/lib/callwright/secret.key", "r", os.O_RDONLY)),
        ("open", ("/etc/passwd", "rb", os.O_RDONLY)),
        ("open", (os.path.join(os.path.dirname(os.__file__), "os.py"), "w", os.O_WRONLY | os.O_CREAT)),
    ],
)
def test_what_a_service_may_not_do_is_refused_before_it_is_done(
    event: str, arguments: tuple[object, ...]
) -> None:
    guard = _Guard(())
    with pytest.raises(_Refused):
        guard(event, arguments)
    assert guard.refused


def test_what_every_service_needs_is_permitted() -> None:
    guard = _Guard(("10.1.0.0/16",))
    guard("socket.connect", (None, ("8.8.8.8", 443)))
    guard("socket.connect", (None, ("10.1.2.3", 25)))
    guard("open", (os.__file__, "r", os.O_RDONLY))
    guard("open", (Path("/etc/ssl/certs/ca-certificates.crt"), "rb", os.O_RDONLY))
    guard("open", (3, "r", os.O_RDONLY))
    assert guard.refused == ""


def test_a_reason_holds_nothing_of_the_url() -> None:
    url = "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ/#channel"
    said = (
        "Failed to send Slack notification to hooks.slack.com/T1JJ3T3L2/TIiajkdnlazkcOXrIdevi7FQ, error=403."
    )
    assert without_secrets(said, url) == (
        "Failed to send Slack notification to hooks.slack.com/…/…, error=403."
    )
