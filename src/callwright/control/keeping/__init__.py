"""What the parent of `serve` keeps going between the database and the agents: a keeper for each record."""
