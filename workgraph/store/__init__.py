"""The memory: one SQLite file, and all SQL."""
