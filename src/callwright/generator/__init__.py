"""The native load loop: many calls at once from one thread, and its Python face."""
