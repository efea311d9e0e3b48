"""Hold with music: who is put on hold hears the PBX instead of nothing, until the holder offers again.

The offer that holds goes to nobody: it is answered here, and the held side is asked to listen to a stage.
"""

from __future__ import annotations

from dataclasses import replace

from callwright.pbx.joining import Joining
from callwright.pbx.origins import Origins
from callwright.pbx.path import NoMediaPath
from callwright.pbx.stage import Heard, Stage, Stages
from callwright.sdp.description import SessionDescription
from callwright.sdp.lines import Attribute, SdpError
from callwright.sdp.media import Media
from callwright.sip import events
from callwright.sip.call import Call
from callwright.sip.message import Response
from callwright.sip.multipart import described
from callwright.sip.timers import Agenda

__all__ = ["Holding", "holds", "open_both_ways"]

_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")
_ANSWERS = {"sendonly": "recvonly", "inactive": "inactive", "recvonly": "sendonly", "sendrecv": "sendrecv"}


class Holding:
    """`holder` has put `held` on hold. `told` is what the holder was told last."""

    def __init__(
        self, stages: Stages, origins: Origins, agenda: Agenda, holder: Call, held: Call, told: bytes
    ) -> None:
        self.holder, self.held = holder, held
        self._stages, self._origins, self._agenda, self._told = stages, origins, agenda, told
        self._stage: Stage | None = None
        self._joining: Joining | None = None

    @property
    def heard(self) -> bytes:
        """The last description of the held side; empty: it was not asked."""
        return self._stage.theirs if self._stage is not None else b""

    def start(self, offer: bytes, music: tuple[str, ...], now: float) -> bool:
        """Answer the offer that holds, and have music played. False, and nothing done: it cannot be."""
        try:
            self._stage = stage = self._stages.open(self.held.hop, self._ignore)
            answer = _answer(self._told, offer)
        except (NoMediaPath, SdpError):
            self.close()
            return False
        self.holder.accept_offer(self._origins.told(self.holder, answer, self), now=now)
        description = self._origins.told(self.held, stage.offer(), self)

        def answered(response: Response, at: float) -> None:
            self._joining = None
            try:
                stage.conclude(described(response.headers, response.body))
            except ValueError:
                return  # it hears nothing, as without music
            stage.play(*music, repeat=True)

        self._joining = Joining(self._agenda, self.held, description, answered, self._failed)
        self._joining.start(now)
        return True

    def on_event(self, event: events.Event) -> bool:
        """An offer on either leg while it lasts. False: the holder has taken the call back."""
        if self._joining is not None:
            if not (isinstance(event, events.OfferReceived) and event.call is self.holder):
                self._joining.on_event(event)
            else:
                event.call.refuse_offer(491, now=event.at)
            return True
        if not isinstance(event, events.OfferReceived):
            return True
        call, offer = event.call, described(event.request.headers, event.request.body)
        if call is self.holder:
            if not holds(offer):
                return False
            call.accept_offer(self._origins.told(call, _answer(self._told, offer), self), now=event.at)
            return True
        self._reanswer(call, offer, event.at)
        return True

    def close(self) -> None:
        """The music is over."""
        if self._joining is not None:
            self._joining.cancel()
            self._joining = None
        if self._stage is not None:
            self._stage.close()

    def _reanswer(self, call: Call, offer: bytes, now: float) -> None:
        stage = self._stage
        if stage is None:
            call.refuse_offer(491, now=now)
            return
        try:
            body = stage.answer(offer) if offer else stage.offer()
        except ValueError as error:
            call.refuse_offer(488, now=now, reason=f"Not Acceptable Here ({error})")
            return
        call.accept_offer(self._origins.told(call, body, self), now=now)

    def _failed(self, reason: str, now: float) -> None:
        self._joining = None

    def _ignore(self, what: Heard, now: float) -> None:
        """Keys that are pressed on hold are for nobody."""


def holds(description: bytes) -> bool:
    """The offer wants nothing sent to its side (RFC 3264 section 8.4), or says 0.0.0.0 as before that."""
    try:
        parsed = SessionDescription.parse(description)
    except SdpError:
        return False
    audio = [media for media in parsed.media if media.kind == "audio" and media.port]
    if not audio:
        return False
    connection = parsed.connection_of(audio[0])
    nowhere = connection is not None and connection.is_unspecified
    return nowhere or parsed.direction_of(audio[0]) in ("sendonly", "inactive")


def open_both_ways(description: bytes) -> bytes:
    """The same with audio in both directions, whatever hold it is from."""
    try:
        parsed = SessionDescription.parse(description)
    except SdpError:
        return description
    return _with_direction(parsed, "sendrecv").serialize()


def _answer(told: bytes, offer: bytes) -> bytes:
    parsed, offered = SessionDescription.parse(told), SessionDescription.parse(offer)
    audio = next((media for media in offered.media if media.kind == "audio"), None)
    if audio is None or len(parsed.media) != len(offered.media):
        raise SdpError("the offer is of other media")
    return _with_direction(parsed, _ANSWERS[offered.direction_of(audio)]).serialize()


def _with_direction(parsed: SessionDescription, direction: str) -> SessionDescription:
    def turned(media: Media) -> Media:
        if media.kind != "audio":
            return media
        kept = tuple(one for one in media.attributes if one.name not in _DIRECTIONS)
        return replace(media, attributes=(*kept, Attribute(direction)))

    session = tuple(one for one in parsed.attributes if one.name not in _DIRECTIONS)
    return replace(parsed, media=tuple(turned(media) for media in parsed.media), attributes=session)
