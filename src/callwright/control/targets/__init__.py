"""Targets: the destinations that an administrator permits, and their caps."""
