"""What a run leaves behind: captures, audio, ladder, report."""
