"""Several platforms on one database: which of them this one is, and whether it may be one of them."""

from __future__ import annotations

import asyncio
import os
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from callwright.control.leading import KEEPER, LASTS
from callwright.host.operator import EXIT_PLATFORM, Refused

if TYPE_CHECKING:
    from callwright.control.services import Services
    from callwright.net.entropy import Entropy

__all__ = ["Node", "join", "node_of"]

_FILE = "node"
_KEY_OF = "secret_key"  # a setting: by which the key is known that seals what is in the database
_AGAIN = 0.25  # seconds


class Node(NamedTuple):
    """``id``: the same at each start from one data folder. ``holder``: by which others know it."""

    id: str
    holder: str


def node_of(data: Path, entropy: Entropy) -> Node:
    """Raises OSError."""
    path = data / _FILE
    found = path.read_text("ascii", "replace").strip() if path.is_file() else ""
    if not re.fullmatch(r"[0-9a-f]{8}", found):
        found = entropy(4).hex()
        draft = path.with_name(f".{_FILE}.part")
        draft.write_text(found + "\n", "ascii")
        os.replace(draft, path)
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", platform.node())[:40] or "platform"
    return Node(found, f"{host}-{found}")


async def join(services: Services, node: Node, *, one_nats: bool) -> None:
    """``one_nats``: all platforms use a NATS that is nobody's own. Raises Refused, StorageUnavailable."""
    other = await _other(services, node)
    if other and not one_nats:
        # One that was killed has its lead a while longer.
        for _ in range(int((LASTS + 1) / _AGAIN)):
            await asyncio.sleep(_AGAIN)
            if not (other := await _other(services, node)):
                break
        else:
            raise Refused(
                f"the platform {other} works with this database, and this one would have a NATS of its own",
                "Give all platforms of one database the same NATS: --nats nats://…; or end the other one.",
                code=EXIT_PLATFORM,
                blame="platform",
            )
    store, ours = services.stores.runs, services.vault.derive(_KEY_OF)[:8].hex()
    known = await store.setting(_KEY_OF)
    if known is not None and known != ours and other:
        raise Refused(
            f"secret.key is not the one of the platform {other} on this database",
            "Copy secret.key from the data folder of that one over this one's.",
            code=EXIT_PLATFORM,
            blame="platform",
        )
    if known != ours:
        await store.set_setting(_KEY_OF, ours)


async def _other(services: Services, node: Node) -> str:
    """Which other platform leads now; empty: none."""
    lead = await services.stores.leaders.lead(KEEPER)
    return lead.holder if lead is not None and lead.left > 0 and lead.holder != node.holder else ""
