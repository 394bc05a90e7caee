"""Helpers of the system tests: the stack under test, and clients that record what they see."""
