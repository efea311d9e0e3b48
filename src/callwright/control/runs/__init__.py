"""Runs as records: the state column is the queue."""
