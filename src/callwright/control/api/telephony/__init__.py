"""The API for telephony: its own way to log in, and lists that are paged, sorted, filtered and grouped."""
