"""The stand-in for mmcv's compiled ops.

That training, testing, prediction and conversion reach none of the ops is shown by all other tests: `make test` runs
them without compiled ops, where every op raises.
"""

import json
import os
import subprocess
import sys

import pytest

from rotated_atss.errors import UserError
from rotated_atss.mmcv_ext import EXTENSION_NAME, _Finder, provide_mmcv_ext

pytest.importorskip("mmcv")

HIDE_COMPILED = """
import sys
from importlib.machinery import PathFinder
find_spec = PathFinder.find_spec
PathFinder.find_spec = classmethod(lambda cls, name, *args: None if name == "mmcv._ext" else find_spec(name, *args))
"""


# Each order of imports runs in a fork of one process that has imported torch alone, which takes half of the time.
IN_FORKS = """
import json, os, traceback, torch
for code in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        try:
            exec(code, {})
            assert "stand-in" in sys.modules["mmcv._ext"].__doc__.lower()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, code
"""

ORDERS_OF_IMPORTS = [
    "import rotated_atss.detection, mmcv.ops, mmdet.models, mmrotate.models",
    "import mmdet; from rotated_atss.detection.heads import retina_head; import mmdet.models, mmcv.ops",
    # loading a config is enough for MMDetection's registry to build its model
    "from mmengine.config import Config; from rotated_atss.configs import find_config; "
    "from mmdet.registry import MODELS\n"
    "cfg = Config.fromfile(find_config('rotated_atss_obb_r18_demo_le90'))\n"
    "assert type(MODELS.build(cfg.model).bbox_head).__name__ == 'RotatedRetinaHead'\nimport mmcv.ops",
    "from rotated_atss.detection.engine.inference import load_detector; import mmcv.ops",
    "import mmdet\ntry:\n    import mmdet.models\nexcept ModuleNotFoundError:\n    pass\n"
    "import rotated_atss.detection, mmdet.models, mmcv.ops",
]


def test_the_finder_is_added_once_and_last():
    provide_mmcv_ext()
    provide_mmcv_ext()
    finders = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    assert len(finders) == 1


def test_only_mmcv_ext_is_found():
    assert _Finder().find_spec("mmcv.other", None) is None
    assert _Finder().find_spec(EXTENSION_NAME, None).name == EXTENSION_NAME


def test_an_op_raises_one_line_with_its_name():
    module = _Finder().create_module(_Finder().find_spec(EXTENSION_NAME, None))
    with pytest.raises(UserError, match=r"'nms_rotated' of mmcv\.ops was called, but mmcv has no compiled ops \("):
        module.nms_rotated(1, threshold=2)
    with pytest.raises(AttributeError):
        module.__wrapped__  # noqa: B018


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks a process")
def test_every_order_of_imports_works_without_compiled_ops():
    command = [sys.executable, "-W", "ignore", "-c", HIDE_COMPILED + IN_FORKS, json.dumps(ORDERS_OF_IMPORTS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.baseline
def test_compiled_ops_take_precedence():
    code = "import rotated_atss.detection, mmcv.ops, mmcv._ext; print(mmcv._ext.__file__)"
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert "_ext" in done.stdout
