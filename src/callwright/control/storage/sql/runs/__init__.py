"""Runs: their tables, and the statements that read, post and move them."""
