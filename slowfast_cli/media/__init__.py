"""Sound read from files, and log-mel spectrograms kept in HDF5 shards."""
