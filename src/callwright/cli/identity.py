"""Flags about who calls: identity, privacy (RFC 3325, 3323) and signed tokens (STIR/SHAKEN, RFC 8224)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callwright.host.operator import Refused

if TYPE_CHECKING:
    from callwright.phone.identity import IdentityCheck, IdentityPlan

AssertedOption = Annotated[
    str | None,
    typer.Option("--asserted-identity", metavar="URI", help="Send it in P-Asserted-Identity (RFC 3325)."),
]
PreferredOption = Annotated[
    str | None,
    typer.Option("--preferred-identity", metavar="URI", help="Send it in P-Preferred-Identity (RFC 3325)."),
]
PrivacyOption = Annotated[
    str | None,
    typer.Option("--privacy", metavar="id|user|header|…", help="Ask for privacy (RFC 3323), From anonymous."),
]
IdentityKeyOption = Annotated[
    Path | None,
    typer.Option("--identity-key", metavar="FILE", help="Sign the caller with this key (P-256, PEM)."),
]
IdentityCertOption = Annotated[
    Path | None,
    typer.Option("--identity-cert", metavar="FILE", help="The certificate of that key (PEM)."),
]
CertUrlOption = Annotated[
    str | None,
    typer.Option("--cert-url", metavar="URL", help="Where verifiers find that certificate (https)."),
]
AttestOption = Annotated[
    str, typer.Option("--attest", metavar="A|B|C", help="How well we know the caller (RFC 8588).")
]
VerifyOption = Annotated[
    bool,
    typer.Option("--verify-identity", help="Refuse calls without a valid Identity: 428, 436, 437, 438, 403."),
]
TrustOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust", metavar="FILE", help="Certificates of signers and their authorities (PEM, or a folder)."
    ),
]
AllTheSameOption = Annotated[
    bool, typer.Option("--answer-unverified", help="Answer all the same, and say what was wrong.")
]


def identity_plan(
    asserted: str | None,
    preferred: str | None,
    privacy: str | None,
    key: Path | None = None,
    certificate: Path | None = None,
    url: str | None = None,
    attest: str = "A",
) -> IdentityPlan | None:
    """None: nothing is said. Raises Refused, naming the flag."""
    from callwright.identity.passport import ATTESTATIONS
    from callwright.phone.identity import IdentityPlan
    from callwright.sip.grammar import is_token

    if not any((asserted, preferred, privacy, key, certificate, url)):
        return None
    if attest not in ATTESTATIONS:
        raise Refused(f"--attest is A, B or C, not {attest!r}")
    if privacy and not all(is_token(word.strip()) for word in privacy.split(";")):
        raise Refused(f"--privacy {privacy!r} is no list of words", "For example: --privacy 'id;critical'")
    signer = None
    if key or certificate or url:
        if not (key and certificate and url):
            raise Refused("--identity-key, --identity-cert and --cert-url belong together")
        if not url.lower().startswith("https://") or any(c in url for c in '<>" \r\n'):
            raise Refused(f"--cert-url {url!r} is no https URL")
        signer = _signer(key, certificate)
    return IdentityPlan(
        _address(asserted, "--asserted-identity"),
        _address(preferred, "--preferred-identity"),
        privacy or "",
        signer,
        url or "",
        attest,
    )


def _address(text: str | None, flag: str) -> str:
    from callwright.cli.call import caller
    from callwright.sip.uri import NameAddr

    full = caller(text, flag)
    return "" if full is None else str(NameAddr.parse(full))


def _signer(key: Path, certificate: Path):  # type: ignore[no-untyped-def]  # its class costs 30 ms
    from callwright.identity.authority import Signer
    from callwright.identity.certificates import read_key, read_pem

    try:
        private, chain = read_key(key), read_pem(certificate)
    except ValueError as error:
        raise Refused(str(error)) from None
    if chain[0].public_key() != private.public_key():
        raise Refused(f"--identity-cert {certificate}: its first certificate is not of --identity-key {key}")
    return Signer(private, tuple(chain))


def identity_check(verify: bool, trust: list[Path] | None, all_the_same: bool) -> IdentityCheck | None:
    """None: nothing is demanded. Raises Refused, naming the flag."""
    from callwright.identity.certificates import Store, is_root, read_pem
    from callwright.phone.identity import IdentityCheck

    if not verify:
        if trust or all_the_same:
            raise Refused("--trust and --answer-unverified need --verify-identity")
        return None
    if not trust:
        raise Refused("--verify-identity needs --trust", "Add the certificates of signers and authorities.")
    try:
        found = [one for path in trust for one in read_pem(path)]
    except ValueError as error:
        raise Refused(f"--trust: {error}") from None
    roots = [one for one in found if is_root(one)]
    if not roots:
        raise Refused("--trust: none of its certificates is an authority's own (self-signed)")
    return IdentityCheck(Store(roots, [one for one in found if one not in roots]), not all_the_same)
