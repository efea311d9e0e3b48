"""The platform: tests, runs, accounts and agents as records, behind an API and pages."""
