"""Agents and their pools."""
