"""Datasets, transforms and the oriented box type, registered with MMDetection."""
