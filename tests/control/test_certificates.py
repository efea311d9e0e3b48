"""The identity of servers: OpenSSL judges the certificates, an administrator alone sees the keys."""

from __future__ import annotations

import base64
import shutil
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from callwright.control.accounts.model import RIGHTS, Identity, Role
from callwright.control.certificates.service import CA_DAYS, LEAF_DAYS, RENEW_DAYS
from callwright.control.services import Services
from callwright.net.clock import ManualClock
from callwright.net.entropy import seeded_entropy

DAY = 86_400.0
NAME = "agent-k3x9q2ab"


@pytest.fixture
async def shown(services: Services, admin: Identity) -> dict[str, str]:
    await services.certificates.ensure(NAME)
    return await _shown(services, admin)


async def _shown(services: Services, identity: Identity) -> dict[str, Any]:
    """PEM texts by key of the API."""
    found = await services.certificates.of(identity, NAME)
    assert found is not None
    given = {name: getattr(found, name) for name in found.__struct_fields__}
    return {
        name: None if value is None else base64.b64decode(value, validate=True).decode()
        for name, value in given.items()
    }


def _write(folder: Path, pems: dict[str, str]) -> None:
    for name, pem in pems.items():
        (folder / f"{name}.pem").write_text(pem)


def _openssl(folder: Path, *arguments: str) -> str:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("openssl is not installed")
    done = subprocess.run([program, *arguments], cwd=folder, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.peer
@pytest.mark.parametrize("purpose", ["sslserver", "sslclient"])
def test_openssl_verifies_the_leaf_as_server_and_client_under_its_name(
    tmp_path: Path, shown: dict[str, str], clock: ManualClock, purpose: str
) -> None:
    _write(tmp_path, shown)
    at = str(int(clock.wall()))
    options = ("-x509_strict", "-attime", at, "-purpose", purpose, "-verify_hostname", NAME)
    assert "OK" in _openssl(tmp_path, "verify", *options, "-CAfile", "ca_cert.pem", "tls_cert.pem")
    assert "OK" in _openssl(tmp_path, "verify", "-attime", at, "-CAfile", "ca_cert.pem", "ca_cert.pem")


@pytest.mark.peer
def test_openssl_finds_that_each_key_belongs_to_its_certificate(
    tmp_path: Path, shown: dict[str, str]
) -> None:
    _write(tmp_path, shown)
    for what in ("ca", "tls"):
        of_key = _openssl(tmp_path, "pkey", "-in", f"{what}_key.pem", "-pubout")
        assert _openssl(tmp_path, "x509", "-in", f"{what}_cert.pem", "-noout", "-pubkey") == of_key


def test_authority_and_leaf_have_what_strict_clients_ask_for(
    shown: dict[str, str], clock: ManualClock
) -> None:
    ca, leaf = (x509.load_pem_x509_certificate(shown[name].encode()) for name in ("ca_cert", "tls_cert"))
    assert ca.subject != leaf.subject
    assert leaf.issuer == ca.subject
    ca_id = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    leaf_id = leaf.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    signer = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    assert signer == ca_id != leaf_id
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [NAME]
    purposes = {
        one.dotted_string for one in leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    }
    assert purposes == {"1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"}
    assert leaf.not_valid_before_utc.timestamp() < clock.wall() < leaf.not_valid_after_utc.timestamp()
    assert leaf.not_valid_after_utc <= ca.not_valid_after_utc
    assert ca.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length == 0


async def test_two_servers_share_no_authority(services: Services, admin: Identity) -> None:
    for name in ("one", "two"):
        await services.certificates.ensure(name)
    found = await services.certificates.of_all(admin)
    assert found["one"].ca_cert != found["two"].ca_cert
    assert found["one"].ca_key != found["two"].ca_key


async def test_only_an_administrator_sees_the_keys(services: Services, shown: dict[str, str]) -> None:
    editor = Identity(9, "eva", Role.MEMBER, RIGHTS[Role.MEMBER])
    assert await _shown(services, editor) == shown | {"ca_key": None, "tls_key": None}
    assert "PRIVATE KEY" in shown["ca_key"]
    assert "PRIVATE KEY" in shown["tls_key"]


async def test_no_private_key_is_on_the_disk_in_clear(
    services: Services, shown: dict[str, str], tmp_path: Path
) -> None:
    sqlite3.connect(tmp_path / "data" / "callwright.db").execute("PRAGMA wal_checkpoint(FULL)")
    kept = b"".join(path.read_bytes() for path in (tmp_path / "data").glob("callwright.db*"))
    assert shown["tls_cert"].encode() in kept
    for name in ("ca_key", "tls_key"):
        assert b"PRIVATE KEY" not in kept
        assert shown[name].splitlines()[1].encode() not in kept


async def test_a_leaf_is_renewed_before_it_ends_under_the_same_authority(
    services: Services, admin: Identity, shown: dict[str, str], clock: ManualClock
) -> None:
    clock.advance((LEAF_DAYS - RENEW_DAYS - 1) * DAY)
    assert list(await services.certificates.renew_due()) == []
    clock.advance(2 * DAY)
    assert list(await services.certificates.renew_due()) == [NAME]
    renewed = await _shown(services, admin)
    assert renewed["ca_cert"] == shown["ca_cert"]
    assert renewed["tls_cert"] != shown["tls_cert"]
    leaf = x509.load_pem_x509_certificate(renewed["tls_cert"].encode())
    assert leaf.not_valid_after_utc.timestamp() > clock.wall() + (LEAF_DAYS - 1) * DAY
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(renewed["ca_cert"].encode()))


async def test_no_server_is_ever_without_a_valid_leaf(
    services: Services, admin: Identity, shown: dict[str, str], clock: ManualClock
) -> None:
    """Over the life of an authority and beyond, looked at once a week."""
    authorities = set()
    for _ in range(int(CA_DAYS / 7) + 10):
        clock.advance(7 * DAY)
        await services.certificates.renew_due()
        pems = await _shown(services, admin)
        authorities.add(pems["ca_cert"])
        ca, leaf = (x509.load_pem_x509_certificate(pems[name].encode()) for name in ("ca_cert", "tls_cert"))
        leaf.verify_directly_issued_by(ca)
        assert leaf.not_valid_after_utc.timestamp() > clock.wall() + (RENEW_DAYS - 7) * DAY
        assert leaf.not_valid_after_utc <= ca.not_valid_after_utc
    assert len(authorities) == 2


async def test_a_lost_key_file_gives_the_server_a_new_identity(
    services: Services, admin: Identity, shown: dict[str, str], tmp_path: Path, clock: ManualClock
) -> None:
    (tmp_path / "data" / "secret.key").unlink()
    again = await Services.open(tmp_path / "data", clock=clock, entropy=seeded_entropy(2))
    try:
        assert (await _shown(again, admin))["tls_key"] is None
        assert list(await again.certificates.renew_due()) == [NAME]
        pems = await _shown(again, admin)
    finally:
        await again.close()
    assert pems["ca_cert"] != shown["ca_cert"]
    key = load_pem_private_key(pems["tls_key"].encode(), None).public_key()
    leaf = x509.load_pem_x509_certificate(pems["tls_cert"].encode()).public_key()
    form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert key.public_bytes(*form) == leaf.public_bytes(*form)


async def test_certificates_of_servers_that_are_gone_are_removed(services: Services, admin: Identity) -> None:
    for name in ("one", "two"):
        await services.certificates.ensure(name)
    await services.certificates.renew_due(["two"])
    assert set(await services.certificates.of_all(admin)) == {"two"}
    assert await services.certificates.of(admin, "one") is None
