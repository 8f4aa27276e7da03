"""Slow, obvious reference implementations that the tests of several folders compare with."""
