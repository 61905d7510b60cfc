"""The voice: argv to requests, requests to writes, replies to text."""
