"""Motion capture, virtual people and virtual cameras."""
