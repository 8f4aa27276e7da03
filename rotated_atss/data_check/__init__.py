"""All problems of a dataset in one pass: images, labels, leakage between its parts, and a cleaned copy."""
