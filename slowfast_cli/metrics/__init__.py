"""What predictions are worth: numpy arrays in, plain numbers out."""
