"""Lightning modules, data modules and checkpoints."""
