"""The API for the fleet: servers by name, pause and resume, and what runs here."""
