"""Pure, batched, differentiable geometry: rotations, lenses, homographies, alignment, translation, triangulation."""
