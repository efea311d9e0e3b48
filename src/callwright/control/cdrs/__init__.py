"""Call detail records: one for each leg of each call of the platform's PBX."""
