"""What goes between the processes: messages, and the broker that carries them."""
