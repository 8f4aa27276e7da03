"""Draw boxes on images."""
