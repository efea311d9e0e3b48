"""Who guesses is slowed, and banned for many accounts; what is remembered is bounded."""

from __future__ import annotations

import pytest

from callwright.pbx.guard import GuardLimits, GuessGuard

STRANGER, ELSEWHERE = "203.0.113.9", "198.51.100.7"


def test_the_first_wrong_passwords_cost_nothing_and_the_next_ever_more() -> None:
    guard = GuessGuard()
    waits = []
    for _ in range(12):
        assert guard.wrong(STRANGER, "1001", 0.0) is None
        waits.append(guard.wait(STRANGER, "1001", 0.0))
    assert waits == [0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_an_account_is_slow_from_everywhere_but_where_it_was_right() -> None:
    guard = GuessGuard()
    guard.right(ELSEWHERE, "1001")
    for number in range(8):
        guard.wrong(f"203.0.113.{number}", "1001", 0.0)
    assert guard.wait("203.0.113.200", "1001", 0.0) == 16
    assert guard.wait("203.0.113.200", "1002", 0.0) == 0
    assert guard.wait(ELSEWHERE, "1001", 0.0) == 0
    guard.wrong(ELSEWHERE, "1001", 0.0)
    assert guard.wait(ELSEWHERE, "1001", 0.0) == 32


def test_an_address_is_slow_for_every_account() -> None:
    guard = GuessGuard(GuardLimits(accounts_before_ban=1_000))
    for number in range(14):
        guard.wrong(STRANGER, f"10{number:02}", 0.0)
    assert guard.wait(STRANGER, "2000", 0.0) == 4
    assert guard.wait(STRANGER, "2000", 3.0) == 1
    assert guard.wait(ELSEWHERE, "2000", 0.0) == 0


def test_names_that_nobody_has_are_slowed_alike() -> None:
    guard = GuessGuard()
    for user in ("1001", "nobody", "x" * 60_000, "é", "\udcff"):
        for _ in range(5):
            guard.wrong(f"203.0.113.{len(user) % 250}", user, 0.0)
        assert guard.wait(ELSEWHERE, user, 0.0) == 2


def test_what_was_wrong_is_forgotten() -> None:
    guard = GuessGuard()
    for _ in range(9):
        guard.wrong(STRANGER, "1001", 0.0)
    assert guard.wait(STRANGER, "1001", 31.0) == 1
    guard.wrong(STRANGER, "1001", 1_000.0)
    assert guard.wait(STRANGER, "1001", 1_000.0) == 0


def try_accounts(
    guard: GuessGuard, source: str, count: int, *, now: float = 0.0, certain: bool = True
) -> int:
    """How many bans came of wrong passwords for so many accounts."""
    bans = [guard.wrong(source, f"u{number}", now, certain=certain) for number in range(count)]
    return len([ban for ban in bans if ban is not None])


def test_many_accounts_tried_from_one_address_are_a_ban_that_ends() -> None:
    guard = GuessGuard()
    assert try_accounts(guard, STRANGER, 9) == 0
    assert not guard.banned(STRANGER, 0.0)
    assert try_accounts(guard, STRANGER, 10) == 1
    assert guard.banned(STRANGER, 1.0)
    assert not guard.banned(ELSEWHERE, 1.0)
    (ban,) = guard.bans(1.0)
    assert (ban.source, ban.accounts, ban.until) == (STRANGER, 10, 3_600.0)
    assert guard.next_wake() == 3_600.0
    assert guard.expire(3_599.0) == []
    assert guard.expire(3_600.0) == [ban]
    assert (guard.banned(STRANGER, 3_600.0), guard.next_wake()) == (False, None)


def test_one_account_tried_often_is_no_ban() -> None:
    guard = GuessGuard()
    for moment in range(10_000):
        assert guard.wrong(STRANGER, "1001", float(moment)) is None


def test_an_account_that_was_right_after_all_does_not_count_for_a_ban() -> None:
    guard = GuessGuard()
    for number in range(100):
        guard.wrong(STRANGER, f"u{number}", 0.0)
        guard.right(STRANGER, f"u{number}")
    assert guard.bans(0.0) == []


@pytest.mark.parametrize(
    "source", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "192.0.2.1", "10.1.2.3", "2001:db8::7"]
)
def test_our_own_and_permitted_addresses_are_slowed_and_never_banned(source: str) -> None:
    guard = GuessGuard(is_ours=lambda host: host == "192.0.2.1", permitted=("10.0.0.0/8", "2001:db8::/32"))
    assert try_accounts(guard, source, 500) == 0
    assert not guard.banned(source, 0.0)
    assert guard.wait(source, "u1", 0.0) == 4


def test_nobody_is_banned_for_what_another_said_in_his_name() -> None:
    guard = GuessGuard()
    assert try_accounts(guard, STRANGER, 500, certain=False) == 0
    assert guard.wait(STRANGER, "2000", 0.0) == 4


def test_an_address_of_ipv6_is_the_network_of_its_customer() -> None:
    guard = GuessGuard()
    for number in range(10):
        guard.wrong(f"2001:db8:1:2::{number:x}", f"u{number}", 0.0)
    assert guard.banned("2001:db8:1:2:ffff::1", 0.0)
    assert not guard.banned("2001:db8:1:3::1", 0.0)
    assert [ban.source for ban in guard.bans(0.0)] == ["2001:db8:1:2::/64"]


def test_a_ban_is_released_and_an_address_is_permitted() -> None:
    guard = GuessGuard()
    for source in (STRANGER, ELSEWHERE):
        try_accounts(guard, source, 10)
    assert [ban.source for ban in guard.release(STRANGER, 1.0)] == [STRANGER]
    assert guard.release(STRANGER, 1.0) == []
    assert not guard.banned(STRANGER, 1.0)
    assert try_accounts(guard, STRANGER, 10, now=2.0) == 1
    assert [ban.source for ban in guard.permit("203.0.113.0/24", 3.0)] == [STRANGER]
    assert guard.permitted == ["203.0.113.0/24"]
    assert try_accounts(guard, STRANGER, 50, now=4.0) == 0
    assert [ban.source for ban in guard.release("0.0.0.0/0", 5.0)] == [ELSEWHERE]
    with pytest.raises(ValueError, match="neither an address nor a network"):
        guard.release("pbx.example.com", 6.0)


def test_what_is_remembered_is_bounded() -> None:
    limits = GuardLimits(most_sources=50, most_accounts=60, most_friends=70, most_bans=5)
    guard = GuessGuard(limits)
    for number in range(2_000):
        source = f"203.0.{number // 250}.{number % 250}"
        guard.wrong(source, f"u{number}" * 100, 0.0)
        guard.right(source, f"v{number}")
        if number % 20 == 0:
            try_accounts(guard, source, 10)
    assert guard.remembered <= 50 + 60 + 70 + 5
    assert len(guard.bans(0.0)) == 5
