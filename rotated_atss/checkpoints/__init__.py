"""Model files: the record of a model, and conversion of checkpoints of mmrotate, MMDetection and the official ATSS.

The source projects are neither imported nor needed.
"""
