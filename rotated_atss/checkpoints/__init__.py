"""Model files: metadata, registry, download, and conversion of mmrotate, MMDetection and official ATSS checkpoints.

Conversion neither imports nor needs the source projects.
"""
