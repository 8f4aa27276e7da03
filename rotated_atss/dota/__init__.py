"""DOTA formats and evaluation: labels, detections, tile names, submissions and average precision."""
