"""Registrations outlive the process that took them."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from callwright.pbx.accounts import PbxAccounts
from callwright.pbx.kept import KeptBindings
from callwright.pbx.registrar import Binding, Change, ChangeKind, Registrar
from callwright.sip.transport import Address, Hop, Transport
from callwright.sip.uri import Uri
from tests.simulation.exchange import account

HOP = Hop(Transport.UDP, Address("127.0.0.1", 5060), Address("127.0.0.1", 40_000))


def binding(user: str = "1001", *, until: float = 3_600.0, hop: Hop = HOP, **more: object) -> Binding:
    contact = Uri.parse(f"sip:{user}@127.0.0.1:40000")
    made = Binding(user, contact, hop, until, 10.0, "a@b", 7, 0.5, user_agent="phone")
    return replace(made, **more)  # type: ignore[arg-type]


def kept(path: Path, *, boot: float = 1_000_000.0) -> KeptBindings:
    """Of a machine whose monotonic clock began at that time."""
    return KeptBindings(path, lambda now: boot + now)


def note(to: KeptBindings, kind: ChangeKind, *bindings: Binding) -> None:
    to.note(Change(kind, one) for one in bindings)


def test_a_registration_is_there_again_with_all_that_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pbx" / "registrations"
    first = kept(path)
    assert first.open(100.0) == []
    known = binding(instance='"<urn:uuid:1>"', reg_id=1, path=("<sip:edge.test;lr>",))
    other = replace(known, reg_id=2)
    note(first, ChangeKind.ADDED, known, other)
    note(first, ChangeKind.REMOVED, other)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    # Killed: nothing was closed. The machine has booted anew since, so its monotonic clock has too.
    (found,) = kept(path, boot=1_000_200.0).open(0.0)
    assert found == replace(known, expires_at=3_400.0, since=-190.0)


def test_those_that_left_expired_or_came_by_a_stream_are_not(tmp_path: Path) -> None:
    path = tmp_path / "registrations"
    first = kept(path)
    first.open(0.0)
    gone, stays, late = binding("1001"), binding("1002"), binding("1003", until=50.0)
    stream = binding("1004", hop=replace(HOP, transport=Transport.TCP))
    note(first, ChangeKind.ADDED, gone, stays, late, stream)
    note(first, ChangeKind.REMOVED, gone)
    moved = replace(stays, contact=Uri.parse("sip:1002@127.0.0.1:41000"))
    note(first, ChangeKind.ADDED, moved)
    note(first, ChangeKind.EXPIRED, stays)
    assert kept(path).open(60.0) == [moved]
    assert kept(path).open(60.0) == [moved], "and again"


def test_one_device_under_a_new_contact_is_one(tmp_path: Path) -> None:
    path = tmp_path / "registrations"
    first = kept(path)
    first.open(0.0)
    old = binding(instance="i")
    note(first, ChangeKind.ADDED, old)
    new = replace(old, contact=Uri.parse("sip:1001@127.0.0.1:41000"))
    note(first, ChangeKind.REFRESHED, new)
    assert kept(path).open(0.0) == [new]


def test_half_a_line_and_nonsense_cost_nothing(tmp_path: Path) -> None:
    path = tmp_path / "registrations"
    first = kept(path)
    first.open(0.0)
    note(first, ChangeKind.ADDED, binding("1001"), binding("1002"))
    whole = path.read_bytes()
    path.write_bytes(b'{"user": 1}\nnonsense\n\xff\n' + whole[:-9])
    assert [one.user for one in kept(path).open(0.0)] == ["1001"]
    path.write_text('{"user": "1001", "contact": "no URI", "expires_at": 9e9}\n')
    assert kept(path).open(0.0) == []


def test_the_file_does_not_grow_with_each_refresh(tmp_path: Path) -> None:
    path = tmp_path / "registrations"
    first = kept(path)
    first.open(0.0)
    for number in range(12_000):
        note(first, ChangeKind.REFRESHED, binding(until=3_600.0 + number))
    assert path.read_bytes().count(b"\n") < 6_000
    assert [one.expires_at for one in kept(path).open(0.0)] == [15_599.0]


def test_a_file_that_cannot_be_written_is_told_once_and_stops_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "taken").write_text("")
    broken = kept(tmp_path / "taken" / "registrations")
    assert broken.open(0.0) == []
    note(broken, ChangeKind.ADDED, binding())
    assert caplog.text.count("cannot be kept") == 1


def test_the_registrar_takes_back_phones_of_accounts_that_are_there() -> None:
    registrar = Registrar(PbxAccounts("pbx.test", (account("1001"),)), max_bindings=2)
    contacts = [replace(binding(), contact=Uri.parse(f"sip:1001@127.0.0.1:{port}")) for port in (1, 2, 3)]
    registrar.restore([binding("4711"), *contacts])
    assert len(registrar.bindings("1001", 0.0)) == 2
    assert registrar.bindings("4711", 0.0) == ()
    assert registrar.next_wake() == 3_600.0
