"""Accounts of agents at a NATS of somebody else's: its servers ask us who may come in.

Every platform of a database answers. An agent shows the secret that it got when it enrolled, and is let in
with its own rights alone; one that was revoked is not let in again.
"""

from __future__ import annotations

import hmac
import logging
from typing import TYPE_CHECKING

from callwright.control.errors import DomainError
from callwright.dispatch.broker import BrokerError, CredentialsRefused, Unavailable
from callwright.dispatch.callout import AUTH, USER_INFO, BadRequest, Issuer, Login, account_of, login_of
from callwright.dispatch.messages.agents import AccountAnswer
from callwright.dispatch.nats import NatsBroker, agent_permissions

if TYPE_CHECKING:
    from callwright.control.services import Services
    from callwright.dispatch.broker import Message
    from callwright.host.settings import NatsAddress

__all__ = ["LASTS", "Callout"]

_log = logging.getLogger(__name__)

LASTS = 900.0
"""Seconds for which an agent is let in; then it comes again, and is asked again."""
_AGENT = "agent-"
_TRIAL = "callwright-trial"  # a login of our own, with no rights, to see that we are asked
_ASK_SECONDS = 3.0
_NOTHING = {"publish": {"deny": [">"]}, "subscribe": {"deny": [">"]}}


class Callout:
    """`control.keeping.agents.BrokerAccounts`; `await listen()` first."""

    def __init__(
        self, services: Services, broker: NatsBroker, address: NatsAddress, *, lasts: float = LASTS
    ) -> None:
        self._agents, self._clock, self._entropy = services.agents, services.clock, services.entropy
        self._broker, self._address = broker, address
        self._issuer = Issuer(services.vault.derive("issuer at nats"))
        self._trial_key = services.vault.derive("trial at nats")
        self._account, self._lasts = "", lasts

    async def listen(self) -> None:
        """Raises BrokerError."""
        await self._broker.subscribe(AUTH, self._judge)

    # -- whom the servers ask about

    async def _judge(self, message: Message) -> None:
        """No answer where the database is away: another platform may have one, and who comes tries again."""
        try:
            login = login_of(message.data)
            account = await self._own_account()
        except (BadRequest, BrokerError) as error:
            _log.warning("a login at NATS is not answered: %s", error)
            return
        now = self._clock.wall()
        try:
            rights = await self._rights(login)
        except DomainError as error:
            _log.warning("a login at NATS is not answered: %s", error)
            return
        if rights is None:
            await message.respond(self._issuer.refuse(login, "unknown, revoked, or a wrong secret", now))
            return
        answer = self._issuer.admit(login, rights, account=account, now=now, lasts=self._lasts)
        await message.respond(answer)

    async def _rights(self, login: Login) -> dict[str, dict[str, list[str]]] | None:
        """None: it may not come in. Raises StorageUnavailable."""
        if login.user.startswith(_TRIAL):
            right = hmac.compare_digest(
                self._trial(login.user).encode(), login.password.encode("utf-8", "replace")
            )
            return _NOTHING if right else None
        if not login.user.startswith(_AGENT):
            return None
        agent = await self._agents.authenticate(login.user.removeprefix(_AGENT), login.password)
        return None if agent is None else agent_permissions(agent.id, agent.pool)

    async def _own_account(self) -> str:
        """Agents belong into the same as we."""
        if not self._account:
            self._account = account_of(await self._broker.request(USER_INFO, b"", _ASK_SECONDS))
        return self._account

    def _trial(self, user: str) -> str:
        return hmac.digest(self._trial_key, user.encode(), "sha256").hex()

    # -- accounts

    async def account(self, agent_id: str, pool: str) -> AccountAnswer:
        """There is nothing to be made; but it is tried whether the servers ask us at all. Raises
        Unavailable."""
        user = f"{_TRIAL}-{self._entropy(6).hex()}"
        address = self._address
        try:
            trial = await NatsBroker.connect(
                address.url,
                user=user,
                password=self._trial(user),
                ca=address.ca,
                name=_TRIAL,
                wait=_ASK_SECONDS,
            )
            await trial.close()
        except CredentialsRefused:
            raise Unavailable(self._what_is_missing) from None
        return AccountAnswer(nats_url=address.url, user=f"{_AGENT}{agent_id}", ca=address.ca, callout=True)

    @property
    def issuer(self) -> str:
        """For the configuration of nats-server."""
        return self._issuer.public

    @property
    def _what_is_missing(self) -> str:
        issuer, user = self._issuer.public, self._address.user or ""
        block = f'auth_callout {{ issuer: "{issuer}", auth_users: [ "{user}" ] }}'
        return (
            "The NATS server does not ask Callwright which agents it may let in. Add to `authorization` in "
            f"the configuration of each server: {block}, and reload it; the token was not spent."
        )

    async def revoke(self, agent_id: str) -> None:
        """It was told to end, and is not let in again."""

    async def restore(self, agent_id: str) -> None:
        """It is let in again, for it is active in the database."""
