"""SIP without sockets (RFC 3261): bytes, numbers and `now` in, values out."""
