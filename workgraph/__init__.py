"""A durable orchestrator for coding agents; empty, so that `wg` starts fast."""

__version__ = "0.1.0"
