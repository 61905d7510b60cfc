"""An agent of our own for OpenAI-compatible endpoints: a program, never imported."""
