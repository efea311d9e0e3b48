"""Callwright places real SIP calls with real audio, judges them, and keeps watching."""

from __future__ import annotations

__version__ = "0.1.0"
