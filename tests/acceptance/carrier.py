"""A carrier in a few lines: a registrar that calls whoever registers, or a caller at once, with media of
another address than it signals from. Prints what came of it as JSON.

    carrier.py register SIGNALLING MEDIA            # waits for a REGISTER, then calls its Contact
    carrier.py call SIGNALLING MEDIA HOST PORT      # calls there
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time


def header(message: str, name: str) -> str:
    found = re.search(rf"^{name}: *(.*?)\r?$", message, re.MULTILINE | re.IGNORECASE)
    return found[1] if found else ""


def receive(sock: socket.socket, seconds: float) -> tuple[str, tuple[str, int]] | None:
    sock.settimeout(seconds)
    try:
        data, source = sock.recvfrom(65_536)
    except TimeoutError:
        return None
    return data.decode(), source


def answered(message: str, status: str, more: str = "") -> bytes:
    vias = "".join(f"Via: {via}\r\n" for via in re.findall(r"^Via: *(.*?)\r?$", message, re.MULTILINE))
    kept = "".join(f"{name}: {header(message, name)}\r\n" for name in ("From", "Call-ID", "CSeq"))
    to = f"To: {header(message, 'To')};tag=carrier\r\n"
    return f"SIP/2.0 {status}\r\n{vias}{kept}{to}{more}Content-Length: 0\r\n\r\n".encode()


def main() -> None:
    mode, here, media_host = sys.argv[1:4]
    sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sip.bind((here, 5060))
    rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    rtp.bind((media_host, 30_000))
    rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    rtcp.bind((media_host, 53))
    print("ready", file=sys.stderr, flush=True)
    if mode == "register":
        came = receive(sip, 20)
        assert came is not None
        register, where = came
        bound = f"Contact: {header(register, 'Contact')};expires=600\r\n"
        sip.sendto(answered(register, "200 OK", bound), where)
    else:
        where = (sys.argv[4], int(sys.argv[5]))
    # a=rtcp asks for reports at a port of a service (RFC 3605).
    sdp = (
        f"v=0\r\no=- 1 1 IN IP4 {media_host}\r\ns=-\r\nc=IN IP4 {media_host}\r\nt=0 0\r\n"
        "m=audio 30000 RTP/AVP 0\r\na=rtcp:53\r\n"
    )

    def request(method: str, to_tag: str, body: str = "") -> bytes:
        branch = f"z9hG4bK{method}"
        kind = "Content-Type: application/sdp\r\n" if body else ""
        return (
            f"{method} sip:sut@{where[0]}:{where[1]} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {here}:5060;branch={branch}\r\n"
            f"From: <sip:carrier@{here}>;tag=c\r\nTo: <sip:sut@{where[0]}>{to_tag}\r\nCall-ID: c1\r\n"
            f"CSeq: {2 if method == 'BYE' else 1} {method}\r\nMax-Forwards: 70\r\n"
            f"Contact: <sip:carrier@{here}>\r\n{kind}Content-Length: {len(body)}\r\n\r\n{body}"
        ).encode()

    sip.sendto(request("INVITE", "", sdp), where)
    statuses: list[int] = []
    warning = to_tag = ""
    while not statuses or statuses[-1] < 200:
        came = receive(sip, 20)
        assert came is not None
        message, _ = came
        if not message.startswith("SIP/2.0 "):
            continue
        statuses.append(int(message.split()[1]))
        warning = header(message, "Warning")
        to_tag = header(message, "To").partition(">")[2]
    sip.sendto(request("ACK", to_tag), where)
    counts = {"rtp": 0, "rtcp": 0}
    rtp.setblocking(False)
    rtcp.setblocking(False)
    until = time.monotonic() + (7.0 if mode == "call" and statuses[-1] == 200 else 2.0)  # reports: within 5 s
    while time.monotonic() < until:
        for name, sock in (("rtp", rtp), ("rtcp", rtcp)):
            try:
                while sock.recvfrom(2048):
                    counts[name] += 1
            except BlockingIOError:
                pass
        time.sleep(0.01)
    if statuses[-1] == 200:
        sip.sendto(request("BYE", to_tag), where)
        receive(sip, 5)
    print(json.dumps({"statuses": statuses, "warning": warning, **counts}))
    if mode == "register":
        came = receive(sip, 10)
        if came is not None:
            sip.sendto(answered(came[0], "200 OK"), came[1])


main()
