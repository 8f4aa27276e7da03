"""Whose checkpoint a file is: by the names of its weights, by what it says of itself, by the name of the file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from rotated_atss.checkpoints.config_text import read_config_text
from rotated_atss.checkpoints.keys import SOURCES
from rotated_atss.errors import UserError

REGRESSIONS = ("retina_reg.weight", "atss_reg.weight", "rpn.head.bbox_pred.weight")
OURS = re.compile(r"OrientedDeltaCoder|HorizontalATSSHead|OfficialATSSHead|rotated_atss\.detection")


@dataclass(frozen=True)
class Origin:
    """Where weights come from.

    Attributes:
        source: One of :data:`SOURCES`.
        reason: How that is known, in words.
        state: The weights under the source's names, without a data-parallel prefix.
        model: The ``model`` of the config that the checkpoint holds, as far as it is plain data; else empty.
        angle_version: ``oc``, ``le90``, ``le135``, or None where nothing names it.
        classes: The class names it holds, or none.
        name: The file's name, or the experiment's, for what is written in it.
    """

    source: str
    reason: str
    state: dict[str, Tensor]
    model: dict[str, Any]
    angle_version: str | None
    classes: tuple[str, ...]
    name: str


def find_origin(
    content: dict, path: str | Path, *, source: str | None = None, angle_version: str | None = None
) -> Origin:
    """Whose weights these are.

    Args:
        content: What :func:`rotated_atss.detection.engine.checkpoint_io.read_checkpoint` reads.
        path: The file, for its name.
        source: One of :data:`SOURCES` instead of a guess.
        angle_version: Angle version instead of a guess.

    Raises:
        UserError: No detector's weights, weights of this project, or nothing that tells whose they are.
    """
    meta = content["meta"] if isinstance(content.get("meta"), dict) else {}
    state = weights_of(content, path)
    text = meta.get("cfg") or meta.get("config")
    if "converted_from" in meta or (isinstance(text, str) and OURS.search(text)):
        raise UserError("a checkpoint of this project already", where=path, hint="use it as it is")
    guess, why = _told(source, state, path) if source else _guess(state, meta, content, path)
    model = read_config_text(text).get("model")
    model = model if isinstance(model, dict) else {}
    names = [Path(path).stem, str(meta.get("exp_name") or meta.get("experiment_name") or "")]
    return Origin(
        guess,
        why,
        state,
        model,
        angle_version or angle_version_of(model) or _angle_version_in(names),
        _classes(meta),
        " ".join(names),
    )


def weights_of(content: dict, path: str | Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint: under ``state_dict``, ``model``, or the content itself.

    Raises:
        UserError: There is no tensor.
    """
    state = content.get("state_dict", content.get("model", content))
    found = state.items() if isinstance(state, dict) else ()
    weights = {str(name).removeprefix("module."): value for name, value in found if isinstance(value, Tensor)}
    if not weights:
        raise UserError("holds no weights", where=path, hint=f"it has: {', '.join(map(str, list(content)[:6])) or '-'}")
    return weights


def box_numbers(state: dict[str, Tensor]) -> int | None:
    """Numbers a box: 5 oriented, 4 horizontal; None where there is no box branch of a kind that is known."""
    sizes = [len(value) for name, value in state.items() if name.endswith(REGRESSIONS)]
    if not sizes:
        return None
    return 5 if sizes[0] % 5 == 0 else 4


def angle_version_of(model: dict[str, Any]) -> str | None:
    """The angle version that a config's coder names."""
    for coder in _coders(model):
        angle_version = coder.get("angle_range") or coder.get("angle_version")
        if angle_version in ("oc", "le90", "le135"):
            return angle_version
    return None


def _coders(model: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for name in ("bbox_head", "bbox_head_init"):
        head = model.get(name)
        coder = head.get("bbox_coder") if isinstance(head, dict) else None
        if isinstance(coder, dict):
            yield coder


def _angle_version_in(names: list[str]) -> str | None:
    for name in names:
        found = re.search(r"(?:^|[^a-z0-9])(oc|le90|le135)(?![a-z0-9])", name)
        if found:
            return found[1]
    return None


def _classes(meta: dict[str, Any]) -> tuple[str, ...]:
    recorded = meta.get("dataset_meta")
    recorded = recorded if isinstance(recorded, dict) else {}
    for names in (recorded.get("classes"), recorded.get("CLASSES"), meta.get("CLASSES")):
        if names and isinstance(names, (str, list, tuple)):
            return (names,) if isinstance(names, str) else tuple(map(str, names))
    return ()


def _told(source: str, state: dict[str, Tensor], path: str | Path) -> tuple[str, str]:
    """The source that was told, unless the weights are of another family."""
    if any(name.startswith("rpn.head.") for name in state):
        family = "atss-official"
    else:
        family = "mmrotate" if box_numbers(state) == 5 else "mmdet"
        _need_boxes(state, path)
    if not source.startswith(family):
        what = {"atss-official": "names as rpn.head...", "mmrotate": "5 numbers a box"}.get(family, "4 numbers a box")
        raise UserError(f"not of {source}: it has {what}", where=path, hint="leave --from out to have it guessed")
    return source, "as told"


def _need_boxes(state: dict[str, Tensor], path: str | Path) -> None:
    if box_numbers(state) is None:
        hint = f"it has {next(iter(state))}, ..., but, whatever --from says, none of {', '.join(REGRESSIONS)}"
        raise UserError("no detector of a kind that is known", where=path, hint=hint)


def _guess(state: dict[str, Tensor], meta: dict, content: dict, path: str | Path) -> tuple[str, str]:
    """(source, why)."""
    for pattern, source in (
        (r"rpn\.head\.cls_tower\.", "atss-official"),
        (r"refine_head\.\d+\.", "mmrotate-0.x"),
        (r"feat_refine_module\.\d+\.", "mmrotate-0.x"),
        (r"bbox_head_init\.", "mmrotate-1.x"),
    ):
        found = next((name for name in state if re.match(pattern, name)), None)
        if found:
            return source, f"by the name {found}"
    _need_boxes(state, path)
    numbers = box_numbers(state)
    if numbers == 5 and any(name.endswith("atss_reg.weight") for name in state):
        return "mmrotate-1.x", "5 numbers a box and a centerness branch"
    family, what = ("mmrotate", "5 numbers a box") if numbers == 5 else ("mmdet", "4 numbers a box")
    new, sign = _is_new(meta, content, Path(path).name)
    if new is None and family == "mmrotate":
        hint = f"say it: --from {' or '.join(name for name in SOURCES if name.startswith('mmrotate'))}"
        raise UserError("nothing tells whether mmrotate 0.x or 1.x wrote these weights", where=path, hint=hint)
    if family == "mmrotate":
        return ("mmrotate-1.x" if new else "mmrotate-0.x"), f"{what}, {sign}"
    return ("mmdet-2.x" if new is False else "mmdet-3.x"), f"{what}, {sign or 'its names, which 2.x and 3.x share'}"


def _is_new(meta: dict, content: dict, name: str) -> tuple[bool | None, str]:
    """Whether MMEngine's generation wrote it, and the sign of that."""
    for key, new in (("mmengine_version", True), ("mmrotate_version", False), ("mmdet_version", False),
                     ("mmcv_version", False), ("cfg", True), ("config", False)):  # fmt: skip
        if key in meta:
            value = f" {meta[key]}" if key.endswith("version") else ""
            return new, f"its meta has {key}{value}"
    if "message_hub" in content:
        return True, "it has a message_hub"
    if re.search(r"-[rh]box-", name):
        return True, "by the file's name"
    if re.match(r"(rotated_(atss|retinanet)|r3det)_.*(oc|le90|le135)", name):
        return False, "by the file's name"
    return None, ""
