"""STUN, TURN and ICE (RFC 8489, 8656, 8445) without sockets, clocks or entropy: by which way sides talk."""
