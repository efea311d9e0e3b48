"""Lists that users keep under a name: what they ask of a page."""
