"""LCR-Net++ (paper 003): several people in 2D and 3D at once, from the whole picture."""
