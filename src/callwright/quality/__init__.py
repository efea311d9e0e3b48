"""Numbers in, score out: the E-model and its company."""
