"""Download published model files to a cache: resume interrupted downloads, and check the hash of each file."""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from rotated_atss import __version__
from rotated_atss.checkpoints.model_file import read_model_info
from rotated_atss.checkpoints.registry import RegistryEntry
from rotated_atss.errors import UserError, printable
from rotated_atss.io.progress import progress_bar
from rotated_atss.io.run_lock import run_lock

CACHE_VARIABLE = "ROTATED_ATSS_CACHE"
TIMEOUT_S = 20  # maximum wait for an answer of the server
LOCK_TIMEOUT_S = 3600.0  # maximum wait for another process that downloads the same file
_BLOCK_BYTES = 2**20
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")  # value of this HTTP header: bytes first-last/total


def cache_folder() -> Path:
    """Return the folder of downloaded model files.

    It is ``$ROTATED_ATSS_CACHE`` if this variable is set, otherwise ``$XDG_CACHE_HOME/rotated-atss/models``, where
    ``$XDG_CACHE_HOME`` defaults to ``~/.cache``.

    Example:
        >>> cache_folder().is_absolute()
        True
    """
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder).absolute()
    xdg_folder = os.environ.get("XDG_CACHE_HOME")
    user_cache = Path(xdg_folder).absolute() if xdg_folder else Path.home() / ".cache"
    return user_cache / "rotated-atss" / "models"


def cached_path(entry: RegistryEntry) -> Path:
    """Return the path of a registry entry's file in the cache. The file need not exist.

    Example:
        >>> from rotated_atss.checkpoints.registry import find_entry
        >>> cached_path(find_entry("resnet50")).name
        'resnet50-0676ba61.pth'
    """
    return cache_folder() / entry.file_name


def fetch(entry: RegistryEntry, *, progress: bool | None = None) -> Path:
    """Download the file of a registry entry unless it is in the cache, and check its hash.

    Args:
        entry: The registry entry.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        Path of the file in the cache.

    Raises:
        UserError: There is no connection, the download ended early, or the file has a wrong hash. A file with a wrong
            hash is removed. An incomplete file is kept, and the next call resumes the download.

    Example::

        fetch(find_entry("resnet50"))
    """
    path = cached_path(entry)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        hint = f"choose another folder with {CACHE_VARIABLE}"
        raise UserError(f"the cache cannot be written: {error.strerror}", where=path.parent, hint=hint) from error
    # another process, such as another rank of a training run, may download the same file
    with run_lock(path.with_name(f".{path.name}.lock"), LOCK_TIMEOUT_S):
        if path.is_file():
            _check_hash(path, entry)
        else:
            partial_path = path.with_name(f"{path.name}.part")
            _download(entry.url, partial_path, path, progress)
            _check_hash(partial_path, entry)
            os.replace(partial_path, path)
    return path


def is_usable(entry: RegistryEntry, path: str | Path) -> bool:
    """Return whether a file can be used without conversion.

    A detector can if it has model metadata. A backbone always can, because it needs no metadata.

    Args:
        entry: Registry entry of the file.
        path: The downloaded file.

    Example:
        >>> from rotated_atss.checkpoints.registry import find_entry
        >>> is_usable(find_entry("resnet50"), "resnet50-0676ba61.pth")
        True
    """
    return entry.kind == "backbone" or read_model_info(path) is not None


def sha256_of(path: str | Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a").write_bytes(b"plane")
        ...     sha256_of(Path(folder, "a"))[:8]
        'fad90028'
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _check_hash(path: Path, entry: RegistryEntry) -> None:
    """Remove the file and raise an error if its hash differs from the hash in the registry entry."""
    digest = sha256_of(path)
    if not digest.startswith(entry.sha256_prefix):
        path.unlink()
        what = f"the file has a wrong hash and was removed: expected SHA-256 {entry.sha256_prefix}..., got {digest}"
        raise UserError(what, where=entry.url, hint="download it again; if this repeats, report the entry")


def _download(url: str, partial_path: Path, final_path: Path, progress: bool | None) -> None:
    """Download to ``partial_path``. If this file exists, resume at its end, provided that the server supports it.

    ``final_path``, to which the caller renames the file, is only used in errors and the progress bar.
    """
    manual_hint = f"without a network, place the file at {final_path}"
    start = partial_path.stat().st_size if partial_path.exists() else 0
    headers = {"User-Agent": f"rotated-atss/{__version__}"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S) as response:
            _save_response(response, partial_path, start, final_path.name, progress)
    except urllib.error.HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and start:
            # The server has no bytes after `start`, so the download is complete. An earlier call was interrupted
            # before it checked the hash or renamed the file.
            return
        reason = f"the server answered {error.code} {error.reason}"
        raise UserError(f"cannot be downloaded: {printable(reason)}", where=url, hint=manual_hint) from error
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", None) or error or type(error).__name__)
        resume_hint = "run again to resume; " if partial_path.exists() else ""
        hint = resume_hint + manual_hint
        raise UserError(f"cannot be downloaded: {printable(reason)}", where=url, hint=hint) from error


def _save_response(response: Any, partial_path: Path, start: int, bar_text: str, progress: bool | None) -> None:
    """Append the response to a file that has ``start`` bytes. If the server sends the whole file, overwrite it."""
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range") or "")
    # status is None for file:// URLs, which are always read as a whole
    is_partial = getattr(response, "status", None) == http.client.PARTIAL_CONTENT
    if not (is_partial and content_range and int(content_range[1]) == start):
        start = 0
    length = response.headers.get("Content-Length")
    total = start + int(length) if length and length.isdigit() else None
    with (
        open(partial_path, "ab" if start else "wb") as file,
        progress_bar(desc=bar_text, unit="B", total=total, show=progress) as bar,
    ):
        bar.update(start)
        while block := response.read(_BLOCK_BYTES):
            file.write(block)
            bar.update(len(block))
        size = file.tell()
    if total is not None and size < total:
        raise OSError(f"the connection ended after {size} of {total} bytes")
