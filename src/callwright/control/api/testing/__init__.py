"""The API for tests, runs, agents and what is permitted."""
