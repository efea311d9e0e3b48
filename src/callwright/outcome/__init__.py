"""What a call or a run came to, with blame: the result model, its JSON, and how a part is judged."""
