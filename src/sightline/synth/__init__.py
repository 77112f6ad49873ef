"""Rendered people with exact labels: bodies, clothes, cameras and light from one seed."""
