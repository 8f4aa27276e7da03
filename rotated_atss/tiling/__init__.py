"""Split images into tiles, predict on windows, and merge tile detections into full images."""
