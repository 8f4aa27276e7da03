"""Draw boxes on images, plot label assignment, and arrange pictures in contact sheets."""
