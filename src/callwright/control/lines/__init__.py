"""The users of the platform's own PBX: extension, SIP password, caller identity, forwarding."""
