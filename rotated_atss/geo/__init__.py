"""Georeferenced results and labels: measures on the ground, vector files. Needs the extra ``geo``."""
