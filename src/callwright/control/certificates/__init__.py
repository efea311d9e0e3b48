"""Certificates of servers: an authority and a leaf for each, their keys sealed."""
