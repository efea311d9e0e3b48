"""The API for accounts: users, API keys, projects and members, SIP accounts."""
