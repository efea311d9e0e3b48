"""Monitors: what servers test again and again, the plan that agents hold, and the history of readings."""
