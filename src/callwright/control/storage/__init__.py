"""Where records and evidence are kept. Adapters bear the name of their technology."""
