"""What the stages draw: one function a file, arrays in, a PNG out."""
