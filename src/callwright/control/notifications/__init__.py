"""Who is told what: channels, the outbox of their messages, and its delivery."""
