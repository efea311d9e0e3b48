"""Projects: what tests, runs and SIP accounts belong to, and who is in which."""
