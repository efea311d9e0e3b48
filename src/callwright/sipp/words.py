"""What the keywords of a scenario stand for in one call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from callwright.sip.digest import Challenge, Credentials, answer_challenge
from callwright.sip.grammar import SipSyntaxError
from callwright.sip.transport import Address, Hop
from callwright.sipp.injection import Injection
from callwright.sipp.message import Received
from callwright.sipp.scenario import Scenario, Send
from callwright.sipp.template import Keyword, credentials_of
from callwright.sipp.variables import CallFails, Variables

__all__ = ["Chance", "Facts", "Setting", "Words", "challenges_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is the same for all calls of a run. `pause`: seconds of a pause that says none;
    `patience`: seconds for which a message is awaited that has no time of its own; `given`: keywords with
    their values; `remote`: None on the side that is called."""

    scenario: Scenario
    service: str
    local: Address
    remote: Address | None
    remote_host: str = ""
    media: Address
    pause: float = 0.0
    patience: float = 180.0
    pid: int = 0
    credentials: Credentials | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    injections: tuple[Injection, ...] = ()
    version: str = ""


@dataclass(slots=True)
class Facts:
    """What a call has come to: `index` of its step, `heard` the message that it took last."""

    number: int
    call_id: str
    hop: Hop
    tag: str
    variables: Variables
    index: int = 0
    cseq: int = 0
    peer_tag: str = ""
    heard: Received | None = None
    routes: list[str] = field(default_factory=list)
    next_url: str = ""
    challenges: list[tuple[str, Challenge]] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)


class Chance(Protocol):
    """What differs from one call to the next."""

    def below(self, number: int) -> int:
        """A number from 0 to ``number`` - 1, by chance."""
        ...

    def token(self) -> str:
        """32 characters that nobody guesses."""
        ...

    def wall(self) -> float:
        """Unix seconds."""
        ...


class Words:
    """Fills in keywords with the facts of one call."""

    __slots__ = ("_chance", "_facts", "setting")

    def __init__(self, setting: Setting, facts: Facts, chance: Chance) -> None:
        self.setting, self._facts, self._chance = setting, facts, chance

    def __call__(self, keyword: Keyword) -> str | None:
        """What it stands for; None: nothing, and its line is left out. Raises CallFails."""
        name, facts = keyword.name, self._facts
        if name.startswith("$"):
            return facts.variables[name[1:]]
        if name.startswith("last_"):
            return self._last_word(name[5:], keyword.offset)
        if name == "field":
            return self._field(keyword)
        if name == "authentication":
            return self._authentication(keyword)
        if name == "routes":
            return "Route: " + ", ".join(facts.routes) if facts.routes else None
        if name in self.setting.given:
            return self.setting.given[name]
        return self._plain_word(keyword)

    def _plain_word(self, keyword: Keyword) -> str:
        facts = self._facts
        setting, remote, media, offset = self.setting, facts.hop.remote, self.setting.media, keyword.offset
        match keyword.name:
            case "service":
                return setting.service
            case "remote_ip" | "server_ip":
                return _in_uri(remote.host)
            case "remote_host":
                return setting.remote_host or _in_uri(remote.host)
            case "remote_port":
                return str(remote.port + offset)
            case "transport":
                return facts.hop.transport.value
            case "local_ip":
                return _in_uri(setting.local.host)
            case "local_ip_type":
                return "6" if ":" in setting.local.host else "4"
            case "local_port":
                return str(setting.local.port + offset)
            case "media_ip":
                return media.host
            case "media_ip_type":
                return "6" if ":" in media.host else "4"
            case "media_port" | "auto_media_port" | "rtpstream_audio_port":
                return str(media.port + offset)
            case "call_number" | "userid":
                return str(facts.number + offset)
            case "cseq":
                return str(facts.cseq + offset)
            case "call_id":
                return facts.call_id
            case "branch":
                return f"z9hG4bK-{setting.pid}-{facts.number}-{facts.index + offset}-{facts.tag[:8]}"
            case "msg_index":
                return str(facts.index)
            case "pid":
                return str(setting.pid)
            case "peer_tag_param":
                return f";tag={facts.peer_tag}" if facts.peer_tag else ""
            case "next_url":
                return facts.next_url
            case "timestamp":
                return f"{self._chance.wall():.6f}"
            case "clock_tick":
                return str(int(self._chance.wall() * 1000))
            case "sipp_version":
                return setting.version
            case "users":
                return str(facts.number)
            case "dynamic_id":
                return str(facts.number)
            case _:
                return keyword.source

    def _last_word(self, name: str, offset: int) -> str | None:
        heard = self._facts.heard
        if heard is None:
            return None
        if name == "message":
            return heard.text
        if name.rstrip(":").lower() == "request_uri":
            return heard.target or None
        if name.lower() == "cseq_number":
            return str(heard.cseq[0] + offset)
        return heard.lines(name.rstrip(":").lower())

    def _field(self, keyword: Keyword) -> str:
        text = self._raw_field(keyword)
        credentials = credentials_of(text)
        return text if credentials is None else self._authentication(credentials)

    def _raw_field(self, keyword: Keyword) -> str:
        facts = self._facts
        wanted = keyword.parameters.get("file")
        files = self.setting.injections
        found = next((one for one in files if wanted is None or one.name == wanted), None)
        if found is None:
            return ""
        said = keyword.parameters.get("line")
        if said is not None:
            text = facts.variables[said[1:]] if said.startswith("$") else said
            return found.field(int(float(text)) if text.replace(".", "").isdigit() else 0, keyword.offset)
        if found.name not in facts.lines:
            facts.lines[found.name] = found.line_for(facts.number, self._chance.below)
        return found.field(facts.lines[found.name], keyword.offset)

    def _authentication(self, keyword: Keyword) -> str:
        facts, given = self._facts, self.setting.credentials
        said = {name: self._parameter(value) for name, value in keyword.parameters.items()}
        username = said.get("username", given.username if given else self.setting.service)
        password = said.get("password", given.password if given else "")
        if not facts.challenges:
            raise CallFails("no challenge", "[authentication] has no challenge to answer: recv needs auth")
        header, challenge = facts.challenges[0]
        step = self.setting.scenario.steps[facts.index]
        assert isinstance(step, Send)  # texts of actions are refused it
        target = "".join(
            part if isinstance(part, str) else self(part) or "" for part in step.template.lines[0]
        ).split(" ")[1]
        try:
            value = answer_challenge(
                challenge,
                Credentials(username, password),
                method=step.method,
                uri=target,
                cnonce=self._chance.token()[:16],
            )
        except ValueError as error:
            raise CallFails("no credentials", str(error)) from None
        return f"{header}: {value}"

    def _parameter(self, value: str) -> str:
        """A parameter of [authentication] may be a field or a variable: `username=[field0]` is written so."""
        return self._facts.variables[value[1:]] if value.startswith("$") else value


def _in_uri(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def challenges_of(message: Received) -> list[tuple[str, Challenge]]:
    found = []
    for name, header in (
        ("www-authenticate", "Authorization"),
        ("proxy-authenticate", "Proxy-Authorization"),
    ):
        for _, value in message.every(name):
            try:
                challenge = Challenge.parse(value)
            except SipSyntaxError:
                continue
            if challenge is not None and challenge.is_supported:
                found.append((header, challenge))
    return found
