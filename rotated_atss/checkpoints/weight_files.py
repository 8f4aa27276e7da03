"""The two files of converted weights: ``.safetensors``, which can hold nothing but tensors, and a ``.pth``."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write

SUFFIXES = (".pth", ".safetensors")


def output_paths(out: str | Path) -> tuple[Path, Path]:
    """``model``, ``model.pth`` or ``model.safetensors`` as the pair of files ``model.pth, model.safetensors``."""
    out = Path(out)
    stem = out.name[: -len(out.suffix)] if out.suffix in SUFFIXES else out.name
    if out.name in SUFFIXES or not stem or out.is_dir():
        raise UserError("no name of a file", where=out, hint="give OUT.pth, OUT.safetensors or OUT")
    return out.with_name(f"{stem}.pth"), out.with_name(f"{stem}.safetensors")


def save_weights(out: str | Path, state: dict[str, Tensor], meta: dict[str, Any]) -> tuple[Path, Path]:
    """Write weights as ``.pth`` (``{"meta", "state_dict"}``) and ``.safetensors``; neither is ever half there.

    Args:
        out: A path with either suffix or none.
        state: Weights by name.
        meta: Plain values. In the ``.safetensors``, whose header takes strings alone, they are JSON.

    Returns:
        The two files.

    Raises:
        UserError: A folder that cannot be written, a full disk.
    """
    paths = output_paths(out)
    state = {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}
    atomic_write(paths[0], _pickled({"meta": meta, "state_dict": state}))
    atomic_write(paths[1], _safe(state, {"format": "pt", **{name: json.dumps(value) for name, value in meta.items()}}))
    return paths


def _pickled(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


def _safe(state: dict[str, Tensor], header: dict[str, str]) -> bytes:
    from safetensors.torch import save

    return save(state, metadata=header)


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """``{"meta", "state_dict"}`` of a ``.safetensors`` file, whoever wrote it.

    Raises:
        UserError: Missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise UserError("no such checkpoint", where=path)
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}
            header = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("not a readable checkpoint", where=path, hint="cut short, or another kind of file") from error
    return {"meta": {name: _parsed(value) for name, value in header.items()}, "state_dict": state}


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
