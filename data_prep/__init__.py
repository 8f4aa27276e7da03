"""From raw DOTA folders to tiles, and from tile detections back to full images."""
