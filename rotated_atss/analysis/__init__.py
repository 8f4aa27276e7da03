"""Statistics and plots of label assignment."""
