"""May this call go there? One pure function with a remedy in its answer."""
