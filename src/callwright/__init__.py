"""Callwright places real SIP calls with real audio, judges them, and keeps watching."""
