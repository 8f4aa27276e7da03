"""Slow, obvious reference implementations and inputs that the tests of several folders share."""
