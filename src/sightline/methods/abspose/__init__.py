"""AbsPoseLifter: a 2D pose to an absolute 3D pose."""
