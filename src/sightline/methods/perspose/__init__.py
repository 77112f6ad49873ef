"""PersPose (paper 001): a crop and its intrinsics → 3D pose and body; the network sees the perspective."""
