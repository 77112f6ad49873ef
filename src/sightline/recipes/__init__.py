"""A run is a function that returns one full, frozen configuration."""
