"""Triton kernels for rotated IoU and NMS. These modules import triton, so import them lazily."""
