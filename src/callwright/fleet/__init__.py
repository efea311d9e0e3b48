"""Servers in pools: their states and the planner that decides which are made and which are retired."""
