"""Plots: one function per file, arrays in, a PNG out."""
