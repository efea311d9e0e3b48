"""What DNS says of a SIP domain: NAPTR, SRV and addresses, each as text."""

from __future__ import annotations

import asyncio
from typing import Any

_SECONDS = 3.0
_SERVICES = ("_sip._udp", "_sip._tcp", "_sips._tcp")
_MOST = 64


class NoRecords(Exception):
    """No name server answered, or the name does not exist; the text is a sentence."""


async def sip_records(name: str, *, seconds: float = _SECONDS) -> tuple[str, ...]:
    """`A 192.0.2.1`, `SRV _sip._udp 10 60 5060 a.example.com`, `NAPTR …`, sorted; empty: the name exists and
    has none of them. Raises NoRecords."""
    import dns.asyncresolver

    resolver = dns.asyncresolver.Resolver()
    questions = [(name, kind, "") for kind in ("A", "AAAA", "NAPTR")]
    questions += [(f"{service}.{name}", "SRV", f"{service} ") for service in _SERVICES]
    answers = await asyncio.gather(*(_asked(resolver, *question, seconds) for question in questions))
    if all(isinstance(answer, Exception) for answer in answers[:2]):
        raise NoRecords(str(answers[0]))
    found = [text for answer in answers if not isinstance(answer, Exception) for text in answer]
    return tuple(sorted(found)[:_MOST])


async def _asked(resolver: Any, name: str, kind: str, label: str, seconds: float) -> list[str] | NoRecords:
    import dns.exception
    import dns.resolver

    try:
        answer = await resolver.resolve(name, kind, lifetime=seconds, search=False)
    except dns.resolver.NoAnswer:
        return []
    except dns.resolver.NXDOMAIN:
        return NoRecords(f"The name {name} does not exist.")
    except (dns.exception.Timeout, dns.resolver.NoNameservers):
        return NoRecords(f"No name server answered for {name} within {seconds:g} s.")
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return NoRecords(f"{name} could not be looked up: {error}.")
    return [f"{kind} {label}{record.to_text()[:255]}" for record in answer]
