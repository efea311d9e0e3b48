"""Tests as records: documents with versions, tags and a project."""
