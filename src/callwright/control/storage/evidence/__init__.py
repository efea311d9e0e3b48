"""Where the files of runs are kept; never in the database."""
