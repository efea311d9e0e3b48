"""Texts that users send to phones of the PBX, and what became of each."""
