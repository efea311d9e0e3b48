"""One file a step, each applied in a transaction."""
