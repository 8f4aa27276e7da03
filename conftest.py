"""Modules without doctests that need an optional package to import."""

collect_ignore_glob = ["rotated_atss/ops/kernels/*"]  # Triton
