"""The processes of `serve`: what starts, watches and ends them, and how they are put together."""
