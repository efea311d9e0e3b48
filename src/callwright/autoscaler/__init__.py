"""Machines with agents, made when there is work and destroyed when there is none."""
