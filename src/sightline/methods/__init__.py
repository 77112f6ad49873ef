"""One paper a room."""
