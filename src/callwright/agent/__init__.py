"""The process that carries out scenarios."""
