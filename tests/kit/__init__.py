"""Verbs for tests: a wire between two endpoints in virtual time, and a peer that speaks raw text."""
