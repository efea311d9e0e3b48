from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from callwright.net.clock import SystemClock
from callwright.net.pacing import readable_within

CLOCK = SystemClock()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """The limits of a process that has thousands of calls."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 1200
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("not permitted to have descriptors beyond 1,024")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("number", [None, 1100])
def test_a_wait_ends_on_time_or_when_there_is_something(many_descriptors: None, number: int | None) -> None:
    near, far = socket.socketpair()
    with near, far:
        descriptor = near.fileno()
        if number is not None:
            os.dup2(descriptor, number)
            descriptor = number
        try:
            begun = CLOCK.now()
            assert not readable_within(descriptor, 0.0123)
            assert 0.0122 <= CLOCK.now() - begun < 0.5
            far.send(b"x")
            assert readable_within(descriptor, None)
            assert readable_within(descriptor, 5.0)
            assert CLOCK.now() - begun < 2.0
        finally:
            if number is not None:
                os.close(number)
