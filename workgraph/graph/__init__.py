"""The nouns: tasks, statuses, requests, changes, decisions. Pure."""
