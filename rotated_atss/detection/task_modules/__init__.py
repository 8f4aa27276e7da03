"""Assigners, prior generators and box coders, registered with MMDetection."""
