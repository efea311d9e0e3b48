"""Callwright from Python: what `import callwright` opens. See docs/python.md."""
