"""Voice messages: listed, heard, deleted. They are files, which the PBX writes and whoever asks reads."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from callwright.audio.mp3 import encode_mp3
from callwright.audio.wav import AudioFileError, read_wav
from callwright.control.accounts.authorize import may
from callwright.control.accounts.model import TELEPHONY_IDS, Identity, Right
from callwright.control.audit.service import Audit
from callwright.control.collections.choosing import chosen
from callwright.control.collections.model import Query, Rows
from callwright.control.errors import Invalid, NotFound, StorageUnavailable
from callwright.control.lines.service import Lines
from callwright.control.voicemail.model import VOICEMESSAGES
from callwright.pbx.messages import Mailboxes, VoiceMessage, box_of

__all__ = ["VoiceMail"]

_MOST_AT_ONCE = 1_000


class VoiceMail:
    """``folder``: where the PBX keeps messages."""

    def __init__(self, folder: Path, lines: Lines, *, audit: Audit) -> None:
        self._mailboxes, self._lines, self._audit = Mailboxes(folder), lines, audit

    async def rows(self, identity: Identity, query: Query) -> Rows:
        """One's own; administrators see all."""
        return chosen(VOICEMESSAGES, [row for row, _ in await self._seen(identity)], query)

    async def get(self, identity: Identity, name: str) -> dict[str, object]:
        """Raises NotFound."""
        return (await self._found(identity, name))[0]

    async def audio(self, identity: Identity, name: str) -> bytes:
        """As MP3. Raises NotFound, StorageUnavailable."""
        _, message = await self._found(identity, name)
        try:
            path = self._mailboxes.path(message.place, message.id)
            return await asyncio.to_thread(_encoded, path, path.stat().st_mtime_ns)
        except (OSError, AudioFileError):
            raise StorageUnavailable("The audio of this message cannot be read.") from None

    async def mark(self, identity: Identity, names: Sequence[tuple[str, bool]]) -> list[VoiceMessage]:
        """Each a message, and whether it was heard. Raises NotFound for any before one is marked."""
        _check_number(len(names))
        found = [((await self._found(identity, name))[1], heard) for name, heard in names]
        marked = []
        for message, heard in found:
            marked.append(replace(message, heard=heard))
            await asyncio.to_thread(self._mailboxes.keep, marked[-1])
        return marked

    async def delete(self, identity: Identity, names: Sequence[str]) -> list[VoiceMessage]:
        """All of them or none; those that are gone now. Raises NotFound."""
        _check_number(len(names))
        found = [(await self._found(identity, name))[1] for name in names]
        async with self._audit.change():
            for message in found:
                what = f"voice message {message.id}"
                await self._audit.note(identity, "voicemessage.deleted", what, f"of {message.user}")
        for message in found:
            await asyncio.to_thread(self._mailboxes.delete, message.place, message.id)
        return found

    async def accounts(self, messages: Sequence[VoiceMessage]) -> list[str]:
        """The accounts of the PBX whose mailboxes these are in, each once."""
        owners = await self._owners()
        return list(dict.fromkeys(owners.get(one.place, (one.user, 0))[0] for one in messages))

    async def _seen(self, identity: Identity) -> list[tuple[dict[str, Any], VoiceMessage]]:
        if may(identity, Right.ADMINISTER):
            messages = await asyncio.to_thread(self._mailboxes.everything)
        elif identity.person:
            messages = await asyncio.to_thread(self._mailboxes.messages, box_of(identity.person))
        else:
            messages = []
        owners = await self._owners()
        return [(_row(one, owners.get(one.place, ("", None))[1]), one) for one in messages]

    async def _owners(self) -> dict[str, tuple[str, int]]:
        """By mailbox: the extension that its user has now, and the id of the chapter."""
        users = await self._lines.callable_users()
        return {box_of(user_id - TELEPHONY_IDS): (ext, user_id) for ext, (user_id, _) in users.items()}

    async def _found(self, identity: Identity, name: str) -> tuple[dict[str, Any], VoiceMessage]:
        """Looked for among those that are there, so that no name leads to another file."""
        for row, message in await self._seen(identity):
            if message.id == name:
                return row, message
        raise NotFound("voice message", name)


@lru_cache(maxsize=8)
def _encoded(path: Path, _modified: int) -> bytes:
    """A player asks for one message in many ranges."""
    return encode_mp3(read_wav(str(path)))


def _row(message: VoiceMessage, user_id: int | None) -> dict[str, Any]:
    return {
        "id": message.id,
        "user_id": user_id,
        "ext": message.user,
        "src": message.caller,
        "calldate": message.left_at,
        "duration": message.seconds,
        "heard": message.heard,
    }


def _check_number(count: int) -> None:
    if not 1 <= count <= _MOST_AT_ONCE:
        raise Invalid(f"1 to {_MOST_AT_ONCE:,} messages at once.", field="id")
