"""What ends a call is on the disk as it was, octets of the peer that are not UTF-8 included."""

from __future__ import annotations

import socket
from pathlib import Path

from callwright.agent.bequest import WrittenGuard, unended
from callwright.agent.spool import Spool
from callwright.dispatch.messages.runs import Attempt
from callwright.phone.guard import Estate
from callwright.phone.guarding import guarded
from callwright.policy.destination import Purpose, Rules
from callwright.sip.transport import Address
from callwright.sip.will import DialogState, Will

_TAG = "\udce9\udcff"
_OCTETS = b"\xe9\xff"


def will_of(ours: Address, peer: Address) -> Will:
    target = f"sip:bob@{peer}"
    invite = (
        f"INVITE {target} SIP/2.0\r\nVia: SIP/2.0/UDP {ours};branch=z9hG4bKa\r\nMax-Forwards: 70\r\n"
        f"From: <sip:alice@{ours}>;tag=a\r\nTo: <{target}>\r\nCall-ID: c{_TAG}\r\nCSeq: 1 INVITE\r\n"
        f"Contact: <sip:alice@{ours}>\r\nContent-Length: 0\r\n\r\n"
    )
    state = DialogState(
        f"<sip:alice@{ours}>;tag=a", f'"Andr{_TAG}" <{target}>;tag={_TAG}', "a", _TAG, 1, target, ()
    )
    hop = ("UDP", ours.host, ours.port, peer.host, peer.port, "")
    return Will(True, hop, invite.encode("utf-8", "surrogateescape"), "a", state)


def test_a_call_ends_after_its_process_though_its_dialog_is_not_utf8(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, guarded() as guard:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(20)
        will = will_of(Address("127.0.0.1", 5999), Address(*peer.getsockname()))
        entry = Spool(tmp_path).open(Attempt(7, "s7", 1))
        kept = WrittenGuard(None, lambda: entry).open(Estate(Purpose.CALL, Rules()))
        kept.keep("one", will)
        ((estate, wills),) = unended(Spool(tmp_path))
        assert wills == [will.for_disk()]
        assert guard is not None
        guard.bequeath(estate, wills)
        assert peer.recv(4_096).startswith(b"ACK ")
        said = peer.recv(4_096)
        answer = said.replace(said.split(b"\r\n")[0], b"SIP/2.0 200 OK", 1)
        peer.sendto(answer, ("127.0.0.1", 5999))
    assert said.startswith(b"BYE sip:bob@127.0.0.1:")
    assert b">;tag=" + _OCTETS + b"\r\n" in said
    assert b"Call-ID: c" + _OCTETS + b"\r\n" in said
