"""The schema's history, for Alembic. Apply it by `callwright migrate`, or let `callwright serve` do so."""
