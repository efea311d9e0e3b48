"""One audio leg: what is played into a stream, what is recorded of it, and the leg itself; no phone in it."""
