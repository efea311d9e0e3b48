"""Where RTCP goes while none has come: beside the RTP that has."""

from __future__ import annotations

__all__ = ["rtcp_beside"]

_Address = tuple[str, int]


def rtcp_beside(latched: _Address, rtp: _Address, rtcp: _Address) -> _Address:
    """Where RTCP goes when RTP comes from ``latched``; ``rtp`` and ``rtcp``: what the description says.

    A far end that speaks from another host than it said is behind a NAT, which reaches neither of its own
    addresses: RTCP goes to that host, on the next port unless the NAT kept the ports.
    """
    if latched[0] == rtp[0]:
        return rtcp
    return latched[0], rtcp[1] if latched[1] == rtp[1] else min(latched[1] + 1, 65535)
