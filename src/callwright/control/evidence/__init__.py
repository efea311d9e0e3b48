"""What a run leaves behind: files within limits, kept, swept, read."""
