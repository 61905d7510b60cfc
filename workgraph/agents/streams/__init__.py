"""What agent clients print about themselves, read while they run."""
