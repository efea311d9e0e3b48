"""The certificate that a PBX started for a test shows to the phones of that test."""

from __future__ import annotations

import ssl
from pathlib import Path

from callwright.net.own_certificate import own_certificate


def test_a_client_that_trusts_it_finds_it_good_for_the_address(tmp_path: Path) -> None:
    server, client = own_certificate(tmp_path, "127.0.0.1")
    assert (client.ca, client.insecure) == (server.cert, False)
    assert server.cert is not None
    assert server.cert.stat().st_mode & 0o077 == 0
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.cert, server.key)
    ours, theirs = ssl.MemoryBIO(), ssl.MemoryBIO()
    trusting = ssl.create_default_context(cafile=str(client.ca))
    dialling = trusting.wrap_bio(ours, theirs, server_hostname="127.0.0.1")
    listening = context.wrap_bio(theirs, ours, server_side=True)
    for side in (dialling, listening, dialling, listening):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    assert dialling.version() == "TLSv1.3"
