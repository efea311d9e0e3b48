"""One softphone: SIP, SDP, RTP and audio on a driver."""
