"""The chapter of tests and runs, mounted at `/api/v2`."""
