"""Voice messages of accounts: a WAV for each, and beside it what is known of it, in a folder of the user."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, unquote

__all__ = ["Mailboxes", "VoiceMessage"]

_MOST = 100  # messages of one account


@dataclass(frozen=True, slots=True)
class VoiceMessage:
    """`id` is that of the call that left it; `left_at` unix seconds; `heard`: it was played to its owner."""

    id: str
    user: str
    caller: str
    left_at: float
    seconds: float
    heard: bool = False


class Mailboxes:
    """The messages below `folder`. A message whose files cannot be read is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, user: str, id_: str) -> Path:
        """Where the audio of a message is, or is to be written. Raises OSError."""
        folder = self._of(user)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{id_}.wav"

    def full(self, user: str) -> bool:
        """No further message is taken."""
        return len(self.messages(user)) >= _MOST

    def keep(self, message: VoiceMessage) -> None:
        """Its audio has been written. Raises OSError."""
        written = self._of(message.user) / f"{message.id}.json.new"
        written.write_text(json.dumps(asdict(message)), "utf-8")
        written.replace(written.with_suffix(""))

    def messages(self, user: str) -> list[VoiceMessage]:
        """Those of an account, new ones first, then the oldest first."""
        found: list[VoiceMessage] = []
        for path in self._of(user).glob("*.json"):
            try:
                found.append(VoiceMessage(**json.loads(path.read_text("utf-8"))))
            except (OSError, ValueError, TypeError):
                continue
        return sorted(found, key=lambda message: (message.heard, message.left_at))

    def everything(self) -> list[VoiceMessage]:
        """Those of all accounts, the oldest first."""
        users = [unquote(folder.name) for folder in self._folder.glob("*") if folder.is_dir()]
        found = [message for user in users for message in self.messages(user)]
        return sorted(found, key=lambda message: message.left_at)

    def count(self, user: str) -> tuple[int, int]:
        """How many are new, and how many were heard."""
        heard = [message.heard for message in self.messages(user)]
        return heard.count(False), heard.count(True)

    def delete(self, user: str, id_: str) -> None:
        """Audio and all."""
        for suffix in ("json", "wav"):
            (self._of(user) / f"{id_}.{suffix}").unlink(missing_ok=True)

    def _of(self, user: str) -> Path:
        """A user is any text; a folder's name is not."""
        return self._folder / (quote(user, safe="").replace(".", "%2E") or "%")
