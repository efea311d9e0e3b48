"""The packets of a run that its report is drawn from: all of SIP, headers of RTP, and never without end."""

from __future__ import annotations

from collections.abc import Sequence

from callwright.net.tap import Packet

MOST_SIP = 50_000
MOST_MEDIA = 400_000
_MEDIA_OCTETS = 32  # of an RTP packet: its header, which is all that a report shows


class PacketMemory:
    """A tap, from any thread. What is beyond its limits is counted in `forgotten`, not kept."""

    def __init__(self, most_sip: int = MOST_SIP, most_media: int = MOST_MEDIA) -> None:
        self._left_sip, self._left_media = most_sip, most_media
        self._packets: list[Packet] = []
        self.forgotten = 0

    def __call__(self, packets: Sequence[Packet]) -> None:
        for packet in packets:
            if packet.kind == "sip":
                self._left_sip -= 1
                if self._left_sip >= 0:
                    self._packets.append(packet)
                    continue
            else:
                self._left_media -= 1
                if self._left_media >= 0:
                    self._packets.append(packet._replace(data=packet.data[:_MEDIA_OCTETS]))
                    continue
            self.forgotten += 1

    def packets(self) -> list[Packet]:
        """What is kept, by time."""
        return sorted(self._packets, key=lambda packet: packet.now)
