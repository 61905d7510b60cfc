"""The loop: the engine, its effects, its socket, and starting up."""
