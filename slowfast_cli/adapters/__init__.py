"""Interfaces of evaluation packages, one file each; each needs its package."""
