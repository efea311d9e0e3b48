"""Many calls at once: the plan of a load, the engine that follows it, its numbers and their verdict."""
