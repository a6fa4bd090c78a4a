"""Weights: the official files, their download, and their safe reading."""
