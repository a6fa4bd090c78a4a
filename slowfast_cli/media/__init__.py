"""Read audio and video files."""
