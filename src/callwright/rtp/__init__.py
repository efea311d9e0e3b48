"""RTP and RTCP (RFC 3550) without sockets."""
