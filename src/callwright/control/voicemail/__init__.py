"""Voice messages that the platform's PBX has taken for its users."""
