"""Metrics: numpy arrays in, plain numbers out."""
