"""COCO instances, results and box evaluation."""
