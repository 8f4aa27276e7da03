"""Check the images and labels of a dataset and leakage between its parts in one pass, and write a cleaned copy."""
