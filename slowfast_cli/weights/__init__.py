"""Weight files, the official weights, their download and the conversion of foreign checkpoints."""
