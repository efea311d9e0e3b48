"""Alerts: rules, the incidents that come of them, and what is to be told."""
