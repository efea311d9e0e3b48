"""SIP accounts, and the vault that seals their passwords."""
