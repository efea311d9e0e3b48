"""Composition roots: one file per verb."""
