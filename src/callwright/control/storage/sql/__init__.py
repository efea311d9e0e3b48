"""Relational storage: one set of statements, built by SQLAlchemy Core, executed by the bare drivers."""
