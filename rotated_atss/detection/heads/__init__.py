"""Dense heads and losses, registered with MMDetection."""
