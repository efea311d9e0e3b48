"""Secure RTP (RFC 3711) without sockets, clocks or entropy: what SDP names and a session applies."""
