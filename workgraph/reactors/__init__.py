"""The judgement: pure functions from a view and the time to decisions."""
