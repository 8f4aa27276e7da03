"""Write weights as ``.pth`` and ``.safetensors`` files, and read ``.safetensors`` files.

A ``.safetensors`` file cannot contain code. A ``.pth`` file can, and :mod:`rotated_atss.checkpoints.restricted_load`
reads it safely.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rotated_atss.checkpoints.model_info import KEY
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write

_SUFFIXES = (".pth", ".safetensors")


def output_paths(out: str | Path) -> tuple[Path, Path]:
    """Return the ``.pth`` and the ``.safetensors`` path for an output path with either suffix or without one.

    Raises:
        UserError: ``out`` is a folder or has no file name.

    Example:
        >>> [path.name for path in output_paths("model.v1.pth")]
        ['model.v1.pth', 'model.v1.safetensors']
    """
    out = Path(out)
    stem = out.name[: -len(out.suffix)] if out.suffix.lower() in _SUFFIXES else out.name
    # ".pth" alone is tested separately: pathlib regards it as a file name without a suffix.
    if out.name.lower() in _SUFFIXES or not stem or out.is_dir():
        what = "the output path is a folder or has no file name"
        raise UserError(what, where=out, hint="give OUT.pth, OUT.safetensors or OUT")
    return out.with_name(f"{stem}.pth"), out.with_name(f"{stem}.safetensors")


def save_weights(out: str | Path, state: dict[str, Tensor], meta: dict[str, Any]) -> tuple[Path, Path]:
    """Write weights atomically as ``.pth`` (a dictionary with ``meta`` and ``state_dict``) and as ``.safetensors``.

    Args:
        out: Output path, with either suffix or without one.
        state: Weights by name.
        meta: Values that JSON can represent. In the ``.safetensors`` header, which allows only strings, each value
            is JSON-encoded, except ``meta[KEY]`` (the model metadata), which is a JSON string already.

    Returns:
        The ``.pth`` and the ``.safetensors`` path.

    Raises:
        UserError: A file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _, path = save_weights(Path(folder, "model"), {"w": torch.ones(2)}, {"config": "atss"})
        ...     read_safetensors(path)["state_dict"]["w"].tolist()
        [1.0, 1.0]
    """
    pth_path, safetensors_path = output_paths(out)
    state = _copy_tensors(state)
    buffer = io.BytesIO()
    torch.save({"meta": meta, "state_dict": state}, buffer)
    atomic_write(pth_path, buffer.getvalue())
    atomic_write(safetensors_path, safetensors_bytes(state, meta))
    return pth_path, safetensors_path


def safetensors_bytes(state: Mapping[str, Tensor], meta: Mapping[str, Any]) -> bytes:
    """Encode weights as the content of a ``.safetensors`` file. Equal arguments give equal bytes.

    Args:
        state: Weights by name.
        meta: As for :func:`save_weights`.

    Example:
        >>> b'"epoch":"12"' in safetensors_bytes({"w": torch.ones(2)}, {"epoch": 12})
        True
    """
    from safetensors.torch import save

    encoded_meta = {name: value if name == KEY else json.dumps(value) for name, value in meta.items()}
    metadata = {"format": "pt", **encoded_meta}  # "pt" is the usual marker of PyTorch weights
    content = save(_copy_tensors(state), metadata=metadata)
    # The library writes the metadata in an unspecified order. Sort it, so that the bytes are reproducible. Then pad
    # the new header with spaces to a multiple of 8 bytes, as the library does, so that the tensors stay aligned.
    end = 8 + int.from_bytes(content[:8], "little")  # the first 8 bytes are the header length
    header_content = json.loads(content[8:end])
    header_content["__metadata__"] = dict(sorted(header_content["__metadata__"].items()))
    header_bytes = json.dumps(header_content, separators=(",", ":"), ensure_ascii=False).encode()
    header_bytes += b" " * (-len(header_bytes) % 8)
    return len(header_bytes).to_bytes(8, "little") + header_bytes + content[end:]


def _copy_tensors(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy each tensor to its own contiguous memory on the CPU.

    ``.safetensors`` does not allow tensors that share memory, and ``.pth`` would save the whole memory of a view.
    """
    return {name: value.detach().cpu().clone().contiguous() for name, value in state.items()}


def read_safetensors(path: str | Path) -> dict[str, Any]:
    """Read a ``.safetensors`` file.

    Returns:
        A dictionary with ``meta`` and ``state_dict``. The values of ``meta`` are parsed as JSON. ``meta[KEY]`` and
        values that are not JSON stay strings.

    Raises:
        UserError: The file is missing or damaged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _, path = save_weights(Path(folder, "model"), {"w": torch.ones(2)}, {"classes": ["ship"]})
        ...     read_safetensors(path)["meta"]["classes"]
        ['ship']
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise UserError("no such checkpoint", where=path)
    try:
        with safe_open(path, framework="pt", device="cpu") as opened:
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - has no __iter__
            header = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError("not a readable checkpoint", where=path, hint="check that the file is complete") from error
    meta = {name: value if name == KEY else _parse_json(value) for name, value in header.items()}
    return {"meta": meta, "state_dict": state}


def _parse_json(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
