"""Who did what: the log, and the table of what stands in it."""
