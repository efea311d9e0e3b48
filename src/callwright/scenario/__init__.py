"""The test language: documents, catalogue, conditions, verdicts."""
