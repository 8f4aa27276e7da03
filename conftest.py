"""Modules whose doctests need an optional package."""

from importlib.util import find_spec

collect_ignore_glob = ["rotated_atss/ops/kernels/*"]  # Triton
collect_ignore = [
    f"rotated_atss/interop/{name}.py" for name in ("sahi", "supervision", "torchmetrics") if find_spec(name) is None
]
