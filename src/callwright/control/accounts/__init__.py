"""Who may: users, keys, tokens, SIP credentials, and the log of who did what."""
