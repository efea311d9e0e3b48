"""The HTTP interfaces: what is common to the chapters here, each chapter in a room of its own."""
