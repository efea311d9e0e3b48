"""Voice messages: a WAV for each, and beside it what is known of it, in a folder for each mailbox."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, unquote

__all__ = ["Mailboxes", "VoiceMessage", "box_of"]

_MOST = 100  # messages of one mailbox


@dataclass(frozen=True, slots=True)
class VoiceMessage:
    """`id` is that of the call that left it; `user`: the account that was called; `left_at` unix seconds;
    `heard`: it was played to its owner; `box`: the mailbox that it is in, where it is not the user's."""

    id: str
    user: str
    caller: str
    left_at: float
    seconds: float
    heard: bool = False
    box: str = ""

    @property
    def place(self) -> str:
        """The name of the mailbox that it is in."""
        return self.box or self.user


def box_of(user_id: int) -> str:
    """The mailbox of a user of the platform, whose extension may change and pass to somebody else."""
    return f"id:{user_id}"


class Mailboxes:
    """The messages below `folder`, by mailbox. A message whose files cannot be read is not there."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, box: str, id_: str) -> Path:
        """Where the audio of a message is, or is to be written. Raises OSError."""
        folder = self._of(box)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return folder / f"{id_}.wav"

    def full(self, box: str) -> bool:
        """No further message is taken."""
        return len(self.messages(box)) >= _MOST

    def keep(self, message: VoiceMessage) -> None:
        """Its audio has been written. Raises OSError."""
        written = self._of(message.place) / f"{message.id}.json.new"
        written.write_text(json.dumps(asdict(message)), "utf-8")
        written.replace(written.with_suffix(""))

    def messages(self, box: str) -> list[VoiceMessage]:
        """Those of a mailbox, new ones first, then the oldest first."""
        found: list[VoiceMessage] = []
        for path in self._of(box).glob("*.json"):
            try:
                found.append(VoiceMessage(**json.loads(path.read_text("utf-8"))))
            except (OSError, ValueError, TypeError):
                continue
        return sorted(found, key=lambda message: (message.heard, message.left_at))

    def everything(self) -> list[VoiceMessage]:
        """Those of all mailboxes, the oldest first."""
        boxes = [unquote(folder.name) for folder in self._folder.glob("*") if folder.is_dir()]
        found = [message for box in boxes for message in self.messages(box)]
        return sorted(found, key=lambda message: message.left_at)

    def count(self, box: str) -> tuple[int, int]:
        """How many are new, and how many were heard."""
        heard = [message.heard for message in self.messages(box)]
        return heard.count(False), heard.count(True)

    def delete(self, box: str, id_: str) -> None:
        """Audio and all."""
        for suffix in ("json", "wav"):
            (self._of(box) / f"{id_}.{suffix}").unlink(missing_ok=True)

    def _of(self, box: str) -> Path:
        """A name is any text; a folder's name is not."""
        return self._folder / (quote(box, safe="").replace(".", "%2E") or "%")
