"""The only sockets, clock and entropy of the house."""
