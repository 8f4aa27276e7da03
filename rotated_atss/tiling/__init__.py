"""Split images into tiles, predict on sliding windows, and merge tile detections into full images."""
