"""A message that is sent as it is written, right or wrong, and the answers to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

from callwright.net.driver import BindFailed
from callwright.net.resolver import ResolutionFailed
from callwright.net.tls import TlsConfigurationError
from callwright.outcome.captured import CapturedMessage
from callwright.outcome.request import RequestOutcome
from callwright.outcome.terms import Failure
from callwright.phone.addressing import as_uri
from callwright.phone.failures import failure_to_locate
from callwright.phone.intent import Capped
from callwright.phone.line import PhoneLine
from callwright.phone.permission import NotPermitted
from callwright.phone.router import Router
from callwright.phone.turns import Turns
from callwright.sip.grammar import format_host
from callwright.sip.message import Response
from callwright.sip.transport import Hop
from callwright.sip.uri import Uri

__all__ = ["PhoneRaw"]

_WORD = re.compile(rb"\[(branch|call_id|tag|local|target|transport|user|len)\]")
_MOST = 32  # answers that are kept


class PhoneRaw:
    """Sent when it is made; `finished` holds the unjudged RequestOutcome, `timeout` seconds after it at most.

    `[branch]`, `[call_id]`, `[tag]`, `[local]`, `[target]`, `[transport]`, `[user]` and `[len]` in the octets
    are filled in. It ends with the first final answer from where it went. The policy is asked about every
    host that it leads its reader to.
    """

    def __init__(
        self,
        line: PhoneLine,
        router: Router,
        turns: Turns,
        target: str,
        octets: bytes,
        *,
        timeout: float = 4.0,
        user: str = "",
        identifier: str | None = None,
        party: str | None = None,
    ) -> None:
        self.target = Uri.parse(as_uri(target))
        self.finished: asyncio.Future[RequestOutcome] = asyncio.get_running_loop().create_future()
        self._line, self._router, self._turns = line, router, turns
        self._octets, self._timeout, self._user = octets, timeout, user
        self._identifier, self._party = identifier, party
        self._answers: list[tuple[float, Response]] = []
        self._hop: Hop | None = None
        self._sent, self._wall = line.now(), line.clock.wall()
        self._stop: Callable[[], None] = lambda: None
        self._timer: asyncio.TimerHandle | None = None
        self._task = asyncio.ensure_future(self._begin())

    async def _begin(self) -> None:
        try:
            way = await self._router.way(self.target)
            hop = way.hops[0]
            octets = self._filled(hop)
            await self._router.permit_hosts((), self.target, text=octets.decode("utf-8", "replace"))
            await self._turns.send(way.targets)
        except ResolutionFailed as error:
            self._finish(*failure_to_locate(error))
        except (NotPermitted, Capped, ValueError) as refused:
            self._finish(Failure.POLICY, str(refused))
        except (BindFailed, TlsConfigurationError) as error:
            self._finish(Failure.PLATFORM, str(error))
        else:
            self._hop, self._sent, self._wall = hop, self._line.now(), self._line.clock.wall()
            self._stop = self._line.endpoint.send_raw(octets, hop, self._answered)
            self._timer = asyncio.get_running_loop().call_later(self._timeout, self._finish, Failure.TIMEOUT)
            self._line.drain()

    def _filled(self, hop: Hop) -> bytes:
        entropy = self._line.entropy
        place = f"{format_host(self._line.advertised(hop.local.host))}:{hop.local.port}"
        words = {
            b"branch": f"z9hG4bK{entropy(8).hex()}",
            b"call_id": entropy(12).hex(),
            b"tag": entropy(6).hex(),
            b"local": place,
            b"target": str(self.target),
            b"transport": hop.transport.value,
            b"user": self._user,
            b"len": str(len(self._octets.partition(b"\r\n\r\n")[2])),
        }
        return _WORD.sub(lambda match: words[match[1]].encode(), self._octets)

    def _answered(self, response: Response, now: float) -> None:
        if len(self._answers) < _MOST:
            self._answers.append((now, response))
        if response.status >= 200:
            self._finish(None)

    def _finish(self, failure: Failure | None, detail: str | None = None) -> None:
        if self.finished.done():
            return
        self._stop()
        if self._timer is not None:
            self._timer.cancel()
        at, last = self._answers[-1] if self._answers else (None, None)
        headers = last.headers if last else None
        self.finished.set_result(
            RequestOutcome(
                method="RAW",
                sip_code=last.status if last else None,
                sip_reason=last.reason if last else None,
                address=self._identifier,
                party=self._party,
                target=str(self.target),
                peer=f"{self._hop.transport.value.lower()}:{self._hop.remote}" if self._hop else None,
                tls=self._line.tls(self._hop),
                user_agent=(headers.get("User-Agent") or headers.get("Server")) if headers else None,
                started_at=self._wall,
                round_trip_ms=(at - self._sent) * 1000 if at is not None else None,
                failure=failure,
                failure_detail=detail or (f"{self._timeout:g} s" if failure is Failure.TIMEOUT else None),
                messages=tuple(CapturedMessage(str(r.status), tuple(r.headers)) for _, r in self._answers),
            )
        )
