"""Clips and batches of a corpus."""
