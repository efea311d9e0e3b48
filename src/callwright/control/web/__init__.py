"""The pages that people open: rendered here, readable without scripts, live where something happens."""
