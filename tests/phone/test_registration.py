"""A registration of the phone against the reference PBX: what is left to look at when it is over."""

from __future__ import annotations

from socket import AF_INET, SOCK_DGRAM, socket

from callwright.outcome.judgement import judge_registration
from callwright.outcome.terms import Verdict
from callwright.pbx.accounts import PbxAccount
from callwright.pbx.server import Pbx, PbxConfig, PbxListener
from callwright.phone.phone import Phone
from callwright.phone.plan import Account as PhoneAccount
from callwright.phone.plan import PhoneConfig
from callwright.sip.transport import Transport


async def test_a_removed_registration_still_tells_of_its_challenge_and_its_first_answer() -> None:
    config = PbxConfig("pbx.test", [PbxAccount("1001", "a")], (PbxListener(Transport.UDP),))
    async with Pbx(config) as pbx, Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as phone:
        binding = phone.register(
            f"sip:127.0.0.1:{pbx.listening[0][1].port}", account=PhoneAccount("1001", "a"), expires=120
        )
        assert await binding.first
        standing = [binding.registered]
        assert await binding.unregister()
        standing.append(binding.registered)
        outcome = binding.outcome()
    assert standing == [True, False]
    assert (outcome.authenticated, outcome.expires_s, outcome.unregistered) == (True, 120, True)
    assert [message.start for message in outcome.messages] == ["200", "200"]
    assert outcome.messages[0].values("Contact")
    assert not outcome.messages[1].values("Contact")


async def test_a_registration_given_up_was_stopped_and_is_nobodys_failure() -> None:
    async with Phone(PhoneConfig(bind="127.0.0.1", user="1001")) as phone:
        with socket(AF_INET, SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            binding = phone.register(
                f"sip:127.0.0.1:{silent.getsockname()[1]}", account=PhoneAccount("1001", "a")
            )
            binding.abandon()
            assert not await binding.first
            verdict, _, reason = judge_registration(binding.outcome())
    assert verdict is Verdict.CANCELED
    assert "stopped" in reason
