"""Servers: machines with an agent, in pools."""
