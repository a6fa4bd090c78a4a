"""Data sets read from disk, and the clips and batches made of them."""
