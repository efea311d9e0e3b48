"""Recorded calls: their files in the evidence store, and who they are of."""
