"""Guesses one password for many accounts: `guesser.py HERE HOST PORT COUNT`. Prints the statuses as JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import sys


def md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode(), usedforsecurity=False).hexdigest()


def main() -> None:
    here, host, port, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((here, 5060))
    sock.settimeout(20)
    serial, statuses, mark = 0, [], f"{here}-{os.getpid()}-"

    def register(user: str, more: str = "") -> str:
        nonlocal serial
        serial += 1
        text = (
            f"REGISTER sip:{host} SIP/2.0\r\nVia: SIP/2.0/UDP {here}:5060;branch=z9hG4bK{mark}{serial}\r\n"
            f"From: <sip:{user}@{host}>;tag=g\r\nTo: <sip:{user}@{host}>\r\nCall-ID: {mark}{serial}\r\n"
            f"CSeq: {serial} REGISTER\r\nContact: <sip:{user}@{here}>\r\n{more}Content-Length: 0\r\n\r\n"
        )
        sock.sendto(text.encode(), (host, port))
        while True:
            answer = sock.recv(65_536).decode()
            if f"CSeq: {serial} " in answer:
                return answer

    for number in range(count):
        user = f"u{number}"
        challenge = register(user)
        found = re.search(r'realm="([^"]*)".*?nonce="([^"]*)"', challenge)
        if found is not None:
            realm, nonce = found.groups()
            secret = md5(
                md5(user, realm, "guess"), nonce, "00000001", "c", "auth", md5("REGISTER", f"sip:{host}")
            )
            challenge = register(
                user,
                f'Authorization: Digest username="{user}", realm="{realm}", nonce="{nonce}", '
                f'uri="sip:{host}", qop=auth, nc=00000001, cnonce="c", response="{secret}"\r\n',
            )
        statuses.append(int(challenge.split()[1]))
    print(json.dumps(statuses))


main()
