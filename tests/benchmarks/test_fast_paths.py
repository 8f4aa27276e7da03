"""Fast paths are switched off by replacing one existing attribute."""

import importlib
import subprocess

import pytest

from benchmarks import bench_fast_paths, bench_split


@pytest.mark.parametrize("name", bench_fast_paths.FAST_PATHS)
def test_the_attribute_of_a_fast_path_exists_and_its_replacement_is_valid(name):
    path = bench_fast_paths.FAST_PATHS[name]
    assert hasattr(importlib.import_module(path.module), path.attribute)
    bench_split.run_python("-c", path.code_without(), path.command, "--help")


def test_a_missing_attribute_is_an_error():
    path = bench_fast_paths.FastPath("split", "rotated_atss.io.images", "no_such_reader", "None")
    with pytest.raises(subprocess.CalledProcessError):
        bench_split.run_python("-c", path.code_without(), "split", "--help")
