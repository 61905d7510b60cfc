"""The hands: what an agent is started with, its start, and the reading of its end."""
