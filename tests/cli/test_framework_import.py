"""The import of MMDetection by commands: without garbage collection, in processes of this program only."""

import subprocess
import sys

import pytest

PRINT_STATE = "print(gc.isenabled(), gc.get_freeze_count() > 100_000)"


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "expected"), [("pass", "True True\n"), ("import rotated_atss.detection", "True False\n")]
)
def test_objects_of_the_import_are_exempt_from_collection(before, expected):
    code = f"import gc\n{before}\nfrom rotated_atss.cli._framework_import import import_framework\nimport_framework()\n"
    assert run_python(code + PRINT_STATE) == expected


def test_collection_goes_on_after_a_failed_import():
    code = (
        "import gc, sys\n"
        "from rotated_atss.cli._framework_import import import_framework\n"
        "sys.modules['mmengine'] = None\n"
        "try: import_framework()\n"
        "except ModuleNotFoundError: print(gc.isenabled())"
    )
    assert run_python(code) == "True\n"
