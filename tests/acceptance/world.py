"""The internet of `test_strangers`, in a network namespace of its own: DNS, a SIP peer, and strangers who
count the packets that reach them. A line on stdin is a question, and its answer a line of JSON on stdout.

`world.py DEVICE` is the outside; `world.py lo` counts what comes to loopback of the inside.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import sys
from collections import Counter
from typing import Any

import dns.flags
import dns.message
import dns.rdatatype
import dns.rrset

PEER, STRANGER, INSIDE = "198.51.100.1", "203.0.113.9", "10.9.9.9"
SHARED, LINK = "100.64.0.7", "169.254.169.254"
SERVICE = 1000
"""A port of the peer below 1024, to which no RTP may go."""
NAMES = {
    "permitted.test.": [PEER],
    "stranger.test.": [STRANGER],
    "inside.test.": [INSIDE],
    "shared.test.": [SHARED],
    "link.test.": [LINK],
    "changes.test.": [PEER, STRANGER],  # one after the other; the last one stays
}
CONTACTS = {
    "contact-name": "sip:x@stranger.test",
    "contact-localhost": "sip:x@localhost:5060",
    "contact-loopback": "sip:x@127.0.0.1:5060",
    "contact-number": f"sip:x@{STRANGER}",
    "contact-maddr": f"sip:x@{PEER};maddr={STRANGER}",
    "contact-maddr-name": f"sip:x@{PEER};maddr=stranger.test",
    "contact-shared": "sip:x@shared.test",
    "contact-link": f"sip:x@{LINK}:80",
    "contact-permitted": "sip:x@permitted.test:5070",
}
ROUTES = {"route-name": "<sip:stranger.test;lr>", "route-maddr": f"<sip:{PEER};lr;maddr={STRANGER}>"}
REFERS = {"refer-name": "sip:x@stranger.test", "refer-number": f"sip:x@{STRANGER}"}
MOVED = {
    "moved-112": "<sip:112@permitted.test>",
    "moved-stranger": "<sip:x@stranger.test>",
    "moved-maddr": f"<sip:x@permitted.test;maddr={STRANGER}>",
}
MEDIA = {
    "sdp-number": (STRANGER, 40_000),
    "sdp-name": ("stranger.test", 40_000),
    "sdp-loopback": ("127.0.0.1", 40_000),
    "sdp-service": (PEER, SERVICE),
}
#: Seen only when something goes where it must not.
PROMISCUOUS = 0x0003  # linux/if_ether.h: ETH_P_ALL


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


class World:
    """Everything of one namespace on one thread."""

    def __init__(self, device: str) -> None:
        self.packets: Counter[str] = Counter()
        self.requests: list[str] = []
        self.names = {name: list(addresses) for name, addresses in NAMES.items()}
        self.eye = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(PROMISCUOUS))
        self.eye.bind((device, PROMISCUOUS))
        self.sip: list[socket.socket] = []
        self.dns: socket.socket | None = None
        if device != "lo":
            self.dns = self._bound(53)
            self.sip = [self._bound(5060), self._bound(5070)]

    def _bound(self, port: int) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((PEER, port))
        return sock

    def run(self) -> None:
        print("ready", flush=True)
        while True:
            sockets = [self.eye, *self.sip, *([self.dns] if self.dns else []), sys.stdin]
            for ready in select.select(sockets, [], [])[0]:
                if not isinstance(ready, socket.socket):
                    line = sys.stdin.readline()
                    if not line:
                        return
                    self._look()  # what the kernel has already is not to be missed
                    print(json.dumps({"packets": self.packets, "requests": self.requests}), flush=True)
                    if line.strip() == "new":
                        self.packets.clear()
                        self.requests.clear()
                        self.names = {name: list(addresses) for name, addresses in NAMES.items()}
                elif ready is self.eye:
                    self._look()
                elif ready is self.dns:
                    self._resolve(ready)
                else:
                    self._answer(ready)

    def _look(self) -> None:
        """Counts by destination and port, IPv4 alone: nothing else has a route here."""
        while select.select([self.eye], [], [], 0)[0]:
            data, (_, protocol, kind, *_) = self.eye.recvfrom(65_536)
            if protocol != 0x0800 or kind == socket.PACKET_OUTGOING or len(data) < 28:
                continue
            at = (data[0] & 15) * 4
            port = struct.unpack_from("!H", data, at + 2)[0] if data[9] in (6, 17) else 0
            self.packets[f"{socket.inet_ntoa(data[16:20])}:{port}"] += 1

    def _resolve(self, sock: socket.socket) -> None:
        data, source = sock.recvfrom(4096)
        query = dns.message.from_wire(data)
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA | dns.flags.RA
        question = query.question[0]
        addresses = self.names.get(question.name.to_text().lower())
        if addresses and question.rdtype == dns.rdatatype.A:
            found = addresses.pop(0) if len(addresses) > 1 else addresses[0]
            answer.answer.append(dns.rrset.from_text(question.name, 0, "IN", "A", found))
        sock.sendto(answer.to_wire(), source)

    def _answer(self, sock: socket.socket) -> None:
        data, source = sock.recvfrom(65_536)
        message = data.decode("utf-8", "replace")
        method = message.partition(" ")[0]
        if method == "SIP/2.0":
            cseq = header(message, "CSeq")
            if cseq.endswith("REFER"):
                named = re.search(r"sips?:([^@>;]*)@", header(message, "From"))
                self.requests.append(f"{message.split()[1]} {named[1] if named else 'nobody'}")
            return
        named = re.search(r"sips?:([^@>;]*)@", header(message, "To"))
        user = named[1] if named else "nobody"
        number = sock.getsockname()[1]
        self.requests.append(f"{method} {user} {number}")
        if method == "ACK":
            if user in REFERS:
                self._refer(sock, source, message, REFERS[user])
            return
        lines, body = [f"Contact: <{CONTACTS.get(user, f'sip:{user}@{PEER}')}>"], ""
        status = "200 OK"
        if method == "INVITE":
            if user in MOVED:
                status, lines = "302 Moved Temporarily", [f"Contact: {MOVED[user]}"]
            if user in ROUTES:
                lines.append(f"Record-Route: {ROUTES[user]}")
            host, port = MEDIA.get(user, (PEER, 40_000))
            body = f"v=0\r\no=- 1 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            body += f"m=audio {port} RTP/AVP 0\r\n"
            lines.append("Content-Type: application/sdp")
        vias = [f"Via: {via}" for via in re.findall(r"^Via: *(.*?)\r?$", message, re.MULTILINE)]
        to = header(message, "To")
        head = [f"SIP/2.0 {status}", *vias, f"From: {header(message, 'From')}"]
        head += [f"To: {to if ';tag=' in to else to + ';tag=world'}"]
        head += [f"{name}: {header(message, name)}" for name in ("Call-ID", "CSeq")]
        head += [*lines, f"Content-Length: {len(body)}", "", body]
        sock.sendto("\r\n".join(head).encode(), source)

    def _refer(self, sock: socket.socket, source: Any, ack: str, to: str) -> None:
        """Asks the caller of a call that is up to call somebody else (RFC 3515)."""
        lines = (
            f"REFER sip:x@{source[0]}:{source[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {PEER}:{sock.getsockname()[1]};branch=z9hG4bK{header(ack, 'Call-ID')[:20]}",
            "Max-Forwards: 70",
            f"From: {header(ack, 'To')}",
            f"To: {header(ack, 'From')}",
            f"Call-ID: {header(ack, 'Call-ID')}",
            "CSeq: 7 REFER",
            f"Contact: <sip:x@{PEER}>",
            f"Refer-To: <{to}>",
            "Content-Length: 0",
        )
        sock.sendto("".join(f"{line}\r\n" for line in (*lines, "")).encode(), source)


def main(arguments: Any = None) -> None:
    World((arguments or sys.argv)[1]).run()


if __name__ == "__main__":
    main()
