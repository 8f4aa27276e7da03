"""Fixtures for tests of the configs."""

import pytest

pytest.importorskip("mmdet")
pytest.importorskip("mmcv.ops")


@pytest.fixture
def no_compiled_ops(monkeypatch):
    """Make every compiled kernel of mmcv fail when it is called."""
    import mmcv.ops  # noqa: F401  (it binds the kernels)
    from mmcv.utils import ext_loader

    def refuse(*args, **kwargs):
        raise AssertionError("a compiled kernel of mmcv was called")

    extension = ext_loader.load_ext("_ext", [])
    for kernel in [kernel for kernel in dir(extension) if not kernel.startswith("_")]:
        monkeypatch.setattr(extension, kernel, refuse)
