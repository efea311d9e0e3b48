"""The broker over NATS with JetStream.

One stream holds the tickets of all pools, one subject for each (`cw.jobs.<pool>.<key>`, one message a
subject, so that putting a ticket in again replaces it); one durable pull consumer for each pool hands them
out. The platform makes both; an agent may only pull and settle. JetStream writes to disk every two minutes:
it carries, and the database remembers.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from callwright.dispatch.broker import REDELIVER_AFTER, CredentialsRefused, Handler, NoAnswer, Unavailable
from callwright.dispatch.nats_messages import NatsMessage, NatsTicket, fitting, whole
from callwright.dispatch.packing import TooLarge
from callwright.dispatch.subject import pool_token
from callwright.net.trust import verifying_context

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

_log = logging.getLogger(__name__)

STREAM = "CW_JOBS"
_MAX_AGE = 24 * 3600.0  # seconds; the keeper puts waiting runs in again long before
_API_TIMEOUT = 5.0
_CONNECT_SECONDS = 5
_REFUSED_AGAIN = 2.0
_GOODBYE_SECONDS = 1.0
_REPLICAS = 3  # of the queues, where a cluster has so many servers
_OTHER_CONFIGURATION = 10058  # JetStream: the stream is there, and made otherwise


def queue_subject(pool: str, key: str = ">") -> str:
    return f"cw.jobs.{pool_token(pool)}.{key}"


def agent_permissions(agent_id: str, pool: str) -> dict[str, dict[str, list[str]]]:
    """What the server lets an agent do: speak in its own name, hear what is for it, pull from its pool."""
    consumer = pool_token(pool)
    return {
        "publish": {
            "allow": [
                f"cw.agent.{agent_id}.>",
                f"$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{consumer}",
                f"$JS.ACK.{STREAM}.{consumer}.>",
            ]
        },
        "subscribe": {"allow": [f"_INBOX.agent-{agent_id}.>", f"cw.control.{agent_id}", "cw.kill"]},
    }


class _Subscription:
    """Outlives its connection: `renew` takes it to the next one."""

    def __init__(
        self, broker: NatsBroker, subject: str, deliver: Callable[[Client, Msg], Awaitable[None]]
    ) -> None:
        self._broker, self._subject, self._deliver = broker, subject, deliver
        self._current: Any = None

    async def renew(self, client: Client) -> None:
        self._current = await client.subscribe(self._subject, cb=partial(self._deliver, client))

    async def close(self) -> None:
        self._broker.forget(self)
        await _leave(self._current)


def _not_accepted(url: str, user: str | None) -> str:
    return f"{url} does not accept " + (
        f"the credentials of {user}" if user else "a connection without credentials"
    )


async def _abandon(client: Client) -> None:
    """Of a failed try by WebSocket its session would stay open."""
    from nats.errors import Error

    with contextlib.suppress(Error, OSError, TimeoutError):
        async with asyncio.timeout(1.0):
            await client.close()


async def _leave(subscription: Any) -> None:
    from nats.errors import Error

    try:
        await subscription.unsubscribe()
    except Error:
        return  # the connection is gone, and the subscription with it


class BrokerAddress(NamedTuple):
    """Where a broker listens: nats, tls, ws or wss; servers of a cluster are separated by commas. `ca`: PEM
    text to trust, None: the system's."""

    url: str
    ca: str | None = None


class _Login(NamedTuple):
    user: str | None
    password: str | None
    name: str


class NatsBroker:
    """See `dispatch.broker.Broker`. Make it with `connect`."""

    def __init__(self, places: Sequence[BrokerAddress], login: _Login, redeliver_after: float) -> None:
        self.on_reconnect: list[Callable[[], None]] = []
        self.on_refused: list[Callable[[str], None]] = []
        self._places = tuple(BrokerAddress(url, place.ca) for place in places for url in place.url.split(","))
        # The library would stay with the one that it was connected to.
        self._moves = len(self._places) > len(places)
        self._replicas = _REPLICAS if len(places[0].url.split(",")) >= _REPLICAS else 1
        self._login = login
        self._redeliver_after = redeliver_after
        self._client: Client | None = None
        self._jetstream: JetStreamContext | None = None
        self._subscriptions: set[_Subscription] = set()
        self._pulls: dict[str, Any] = {}
        self._turn = asyncio.Event()  # set, and replaced, when the connection comes back
        self._returning: asyncio.Task[None] | None = None
        self._closing = self._told_refusal = False
        self.place: BrokerAddress = self._places[0]  # where it is connected

    @classmethod
    async def connect(
        cls,
        url: str,
        *,
        user: str | None = None,
        password: str | None = None,
        ca: str | None = None,
        otherwise: Sequence[BrokerAddress] = (),
        name: str = "callwright",
        wait: float | None = None,
        refusals_pass: bool = False,
        redeliver_after: float = REDELIVER_AFTER,
    ) -> NatsBroker:
        """Connect, and stay connected. `url`: of a cluster all of its servers, separated by commas.
        `ca`: PEM text to trust instead of the system's authorities.
        `otherwise`: other ways to the same broker, tried in turn when there is no getting through. `wait`:
        seconds to try for; None: for ever. Raises Unavailable, CredentialsRefused at once, or with
        `refusals_pass` when `wait` is over."""
        broker = cls([BrokerAddress(url, ca), *otherwise], _Login(user, password, name), redeliver_after)
        await broker._connect(wait, refusals_pass)
        return broker

    async def _connect(self, wait: float | None, refusals_pass: bool = False) -> None:
        """Raises Unavailable when `wait` seconds are over, and each way was tried."""
        loop = asyncio.get_running_loop()
        deadline = None if wait is None else loop.time() + wait
        pause = 0.05
        while True:
            failures = []
            for place in self._places:
                try:
                    client = await self._reach(place)
                except CredentialsRefused as error:
                    if not refusals_pass:
                        raise
                    self._refused(str(error))
                    failures.append(str(error))
                    continue
                except Unavailable as error:
                    failures.append(str(error))
                    continue
                self._client, self.place = client, place
                self._jetstream = client.jetstream(timeout=_API_TIMEOUT)
                return
            if deadline is not None and loop.time() + pause > deadline:
                raise Unavailable("; ".join(failures))
            await asyncio.sleep(pause)
            pause = min(2.0, pause * 2)

    async def _reach(self, place: BrokerAddress) -> Client:
        """One try at one place: a wrong password is to be told, not repeated."""
        from nats.aio.client import Client
        from nats.errors import Error

        url, login = place.url, self._login
        problems: deque[str] = deque(maxlen=5)

        async def failed(error: Exception) -> None:
            problems.append(str(error) or type(error).__name__)
            _log.debug("NATS: %s", error)
            if client is self._client and "uthorization" in problems[-1]:
                self._refused(_not_accepted(url, login.user))

        client = Client()
        try:
            async with asyncio.timeout(2 * _CONNECT_SECONDS):
                await client.connect(
                    url,
                    user=login.user,
                    password=login.password,
                    tls=verifying_context(place.ca) if url.startswith(("tls:", "wss:")) else None,
                    name=login.name,
                    inbox_prefix=f"_INBOX.{login.user or 'callwright'}",
                    allow_reconnect=False,
                    connect_timeout=_CONNECT_SECONDS,
                    reconnect_time_wait=0.1,  # type: ignore[arg-type]
                    ping_interval=10,
                    max_outstanding_pings=2,
                    error_cb=failed,
                    reconnected_cb=self._reconnected,
                    closed_cb=self._closed,
                    flush_timeout=5.0,
                )
        except (Error, OSError, TimeoutError) as error:
            reason = "; ".join(dict.fromkeys(problems)) or str(error) or type(error).__name__
            if "uthorization" in reason:
                raise CredentialsRefused(_not_accepted(url, login.user)) from None
            raise Unavailable(f"{url} cannot be reached: {reason}. See that NATS runs there") from None
        finally:
            if not client.is_connected and url.startswith("ws"):
                await _abandon(client)
        client.options |= {"allow_reconnect": not self._moves, "max_reconnect_attempts": -1}
        return client

    async def _closed(self) -> None:
        """The library gives a connection up for good when the server sends it away, be it for its credentials
        or because it was too slow to show them. We do not."""
        if self._client is None or self._closing:
            return
        if self._returning is None or self._returning.done():
            self._returning = asyncio.ensure_future(self._return())

    async def _return(self) -> None:
        from nats.errors import Error

        while True:
            try:
                await self._connect(None)
                for subscription in list(self._subscriptions):
                    await subscription.renew(self._live())
                break
            except CredentialsRefused as error:
                self._refused(str(error))
            except (Error, Unavailable) as error:
                _log.debug("NATS, on the way back: %s", error)
            await asyncio.sleep(_REFUSED_AGAIN)
        await self._reconnected()

    def _refused(self, sentence: str) -> None:
        """Told once in the log, for we try again until we are let in."""
        if not self._told_refusal:
            self._told_refusal = True
            _log.error("%s", sentence)
        for listener in self.on_refused:
            listener(sentence)

    async def _reconnected(self) -> None:
        self._told_refusal = False
        self._pulls.clear()
        turn, self._turn = self._turn, asyncio.Event()
        turn.set()
        for listener in self.on_reconnect:
            listener()

    @property
    def connected(self) -> bool:
        return self._client is not None and self._client.is_connected

    def _live(self) -> Client:
        if self._client is None or not self._client.is_connected:
            raise Unavailable("there is no connection to NATS")
        return self._client

    # -- messages

    async def publish(self, subject: str, data: bytes) -> None:
        from nats.errors import Error

        client = self._live()
        try:
            sent, headers = fitting(client, data)
            await client.publish(subject, sent, headers=headers)
        except (Error, TooLarge) as error:
            raise Unavailable(f"{subject} was not sent: {error}") from None

    async def request(self, subject: str, data: bytes, timeout: float) -> bytes:
        from nats.errors import Error, NoRespondersError

        client = self._live()
        try:
            sent, headers = fitting(client, data)
            answer = await client.request(subject, sent, timeout=timeout, headers=headers)
            return whole(answer)
        except NoRespondersError:
            raise NoAnswer(f"nobody listens to {subject}") from None
        except TimeoutError:
            raise NoAnswer(f"{subject} was not answered in {timeout:g} s") from None
        except (Error, OSError, TooLarge) as error:
            raise Unavailable(f"{subject} was not sent, or not answered: {error}") from None

    async def subscribe(self, subject: str, handler: Handler) -> _Subscription:
        async def deliver(client: Client, message: Msg) -> None:
            try:
                await handler(NatsMessage(message, client))
            except TooLarge as error:
                _log.warning("%s: %s", message.subject, error)
            except Exception:
                _log.exception("an exception in a handler of %s", message.subject)

        subscription = _Subscription(self, subject, deliver)
        await subscription.renew(self._live())
        self._subscriptions.add(subscription)
        return subscription

    def forget(self, subscription: _Subscription) -> None:
        self._subscriptions.discard(subscription)

    # -- queues

    async def require_jetstream(self) -> None:
        """Raises Unavailable, with what is to be done, when there are no queues to be had at this server."""
        from nats.errors import Error
        from nats.js.errors import APIError, ServiceUnavailableError

        url = self.place.url
        try:
            await self._context().account_info()
        except ServiceUnavailableError:
            raise Unavailable(
                f"JetStream is off at {url}: start nats-server with -js, or with a jetstream block"
            ) from None
        except APIError as error:
            raise Unavailable(
                f"{url} gives {self._login.user or 'us'} no JetStream: {error.description}"
            ) from None
        except (Error, TimeoutError):
            raise Unavailable(
                f"{url} does not answer about JetStream: {self._login.user or 'the account'} "
                "must be permitted to publish to $JS.API.> and to subscribe to _INBOX.>"
            ) from None

    async def open_queue(self, pool: str) -> None:
        from nats.errors import Error
        from nats.js import api
        from nats.js.errors import APIError

        jetstream = self._context()
        stream = api.StreamConfig(
            name=STREAM,
            subjects=["cw.jobs.>"],
            retention=api.RetentionPolicy.WORK_QUEUE,
            storage=api.StorageType.FILE,
            discard=api.DiscardPolicy.OLD,
            max_msgs_per_subject=1,
            max_age=_MAX_AGE,
            num_replicas=self._replicas,
        )
        consumer = api.ConsumerConfig(
            durable_name=pool_token(pool),
            filter_subject=queue_subject(pool),
            ack_policy=api.AckPolicy.EXPLICIT,
            ack_wait=self._redeliver_after,
            max_deliver=-1,
            max_ack_pending=-1,
        )
        try:
            try:
                await jetstream.add_stream(stream)
            except APIError as error:
                if error.err_code != _OTHER_CONFIGURATION:
                    raise
                await jetstream.update_stream(stream)
            await jetstream.add_consumer(STREAM, consumer)
        except (Error, TimeoutError) as error:
            raise Unavailable(f"the queue of {pool} was not made: {error}") from None

    async def renew_queues(self) -> None:
        from nats.errors import Error
        from nats.js.errors import NotFoundError

        try:
            await self._context().delete_stream(STREAM)
        except NotFoundError:
            pass
        except (Error, TimeoutError) as error:
            raise Unavailable(f"the queues were not thrown away: {error}") from None
        self._pulls.clear()

    async def enqueue(self, pool: str, key: str, data: bytes) -> None:
        from nats.errors import Error

        try:
            await self._context().publish(queue_subject(pool, key), data, timeout=_API_TIMEOUT)
        except (Error, TimeoutError) as error:
            raise Unavailable(f"the ticket {key} was not queued: {error}") from None

    async def withdraw(self, pool: str, key: str) -> None:
        from nats.errors import Error

        try:
            await self._context().purge_stream(STREAM, subject=queue_subject(pool, key))
        except (Error, TimeoutError) as error:
            raise Unavailable(f"the ticket {key} was not withdrawn: {error}") from None

    async def take(self, pool: str, timeout: float) -> NatsTicket | None:
        """A pull that waits dies with its connection and says nothing, so it is dropped when the connection
        comes back, and the subscription with it."""
        turn = self._turn
        pull = asyncio.ensure_future(self._pull(pool, timeout))
        back = asyncio.ensure_future(turn.wait())
        try:
            await asyncio.wait({pull, back}, return_when=asyncio.FIRST_COMPLETED)
            return pull.result() if pull.done() else None
        finally:
            back.cancel()
            if not pull.done():
                pull.cancel()
                await asyncio.gather(pull, return_exceptions=True)

    async def _pull(self, pool: str, timeout: float) -> NatsTicket | None:
        from nats.errors import Error
        from nats.errors import TimeoutError as NatsTimeoutError

        context = self._context()
        try:
            if pool not in self._pulls:
                self._pulls[pool] = await context.pull_subscribe_bind(pool_token(pool), STREAM)
            (message,) = await self._pulls[pool].fetch(1, timeout=timeout)
        except (NatsTimeoutError, TimeoutError):
            return None
        except Error as error:
            stale = self._pulls.pop(pool, None)
            if stale is not None and self.connected:
                await _leave(stale)
            raise Unavailable(f"nothing can be taken from {pool}: {error}") from None
        return NatsTicket(message)

    def _context(self) -> JetStreamContext:
        self._live()
        assert self._jetstream is not None
        return self._jetstream

    async def close(self) -> None:
        from nats.errors import Error

        self._closing = True
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.gather(self._returning, return_exceptions=True)
        if self._client is not None:
            try:
                # Of a WebSocket it waits for the other side's word, which may not come.
                async with asyncio.timeout(_GOODBYE_SECONDS):
                    await self._client.close()
            except (Error, OSError, TimeoutError) as error:
                _log.debug("NATS, closing: %s", error)
