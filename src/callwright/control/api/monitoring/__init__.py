"""The chapter of monitoring: `/api/v3`."""
