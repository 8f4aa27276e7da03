"""Write synthetic scenes as DOTA folders: ``images/``, ``labelTxt/``, and the parameters in ``scenes.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota.labels import write_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write, write_json
from rotated_atss.io.images import encode_image
from rotated_atss.io.processes import available_cores, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.synthetic.difficulty import Difficulty, resolve_difficulty
from rotated_atss.synthetic.scene import SIZE_WH, render_scene

RECORD_FILE = "scenes.json"
WRITTEN_BY = "rotated_atss.synthetic"
HEADER = ("imagesource:generated", "gsd:null")  # the first lines of each label file
SHORTEST_SIDE, LONGEST_SIDE = 160, 8192  # pixels
# Peak memory of rendering, per pixel of the final image: the supersampled image and its noise fields.
_BYTES_PER_PIXEL = 100


@dataclass(frozen=True)
class _Job:
    """A scene to render and write."""

    folder: Path
    image_id: str
    seed: int
    number: int  # position of the scene in the series of scenes that the seed determines
    size_wh: tuple[int, int]
    difficulty: Difficulty


@dataclass(frozen=True)
class _Record:
    """Content of ``scenes.json``."""

    seed: int
    first: int  # number of the first scene
    size_wh: tuple[int, int]
    difficulty: dict[str, float]
    images: list[str]  # image ids

    def write(self, folder: Path, *, complete: bool) -> None:
        """Write ``scenes.json`` to a folder. ``complete`` states whether all scenes have been written."""
        entries = {"written_by": WRITTEN_BY, "complete": complete, **asdict(self)}
        write_json(folder / RECORD_FILE, entries)


def generate_scenes(
    out: str | Path,
    count: int,
    *,
    size_wh: tuple[int, int] = SIZE_WH,
    seed: int = 0,
    first: int = 0,
    prefix: str = "S",
    difficulty: str | Difficulty = "normal",
    workers: int | None = None,
    progress: bool | None = None,
) -> list[str]:
    """Render scenes into ``out/images/*.png`` and ``out/labelTxt/*.txt``.

    Calls with the same arguments write the same files. The files do not depend on the number of workers.

    Args:
        out: A new or empty folder, or the folder of an earlier call, whose scenes are replaced.
        count: Number of scenes.
        size_wh: Approximate width and height, pixels; each side varies by up to 10% between scenes.
        seed: Seed of the series of scenes.
        first: Number of the first scene in the series. Calls with disjoint ranges of numbers have no scene in common.
        prefix: First part of the image ids. The number of the scene follows, for example ``S0012``.
        difficulty: ``"easy"``, ``"normal"``, ``"hard"``, or a custom :class:`Difficulty`.
        workers: Number of processes; None for one per core.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The image ids, in order.

    Raises:
        UserError: A value is out of range, the folder has other content, or a file cannot be written.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     generate_scenes(folder, 1, size_wh=(160, 160), progress=False)
        ['S0000']
    """
    _check_arguments(count, size_wh, seed, first, workers)
    folder, difficulty = Path(out), resolve_difficulty(difficulty)
    numbers = range(first, first + count)
    jobs = [_Job(folder, f"{prefix}{number:04d}", seed, number, size_wh, difficulty) for number in numbers]
    record = _Record(seed, first, size_wh, asdict(difficulty), [job.image_id for job in jobs])
    _clear_folder(folder)
    # The record is written before the scenes. If this call is aborted, a later call can therefore recognize and replace
    # the scenes that have been written.
    record.write(folder, complete=False)
    bytes_per_job = [_BYTES_PER_PIXEL * size_wh[0] * size_wh[1]] * count
    finished = run_jobs(_write_scene, jobs, workers or available_cores(), bytes_per_job)  # a generator
    # This loop runs the jobs.
    for _ in progress_bar(finished, total=count, desc=f"scenes {folder.name}", unit="scene", show=progress):
        pass
    record.write(folder, complete=True)
    return record.images


def generate_splits(
    out: str | Path,
    counts: Mapping[str, int],
    *,
    size_wh: tuple[int, int] = SIZE_WH,
    seed: int = 0,
    prefix: str = "S",
    difficulty: str | Difficulty = "normal",
    workers: int | None = None,
    progress: bool | None = None,
) -> dict[str, list[str]]:
    """Render one folder of scenes per split, for example ``out/train`` and ``out/val``.

    No scene is in two splits.

    Args:
        out: Parent folder of the splits.
        counts: Number of scenes by name of the split. The scenes of all splits are numbered in the order of the splits.
        size_wh: Approximate width and height. This and the following arguments are passed to :func:`generate_scenes`.
        seed: Seed of the series of scenes.
        prefix: Prefix of the image ids.
        difficulty: Name or custom :class:`Difficulty`.
        workers: Number of processes; None for one per core.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The image ids per split.

    Raises:
        UserError: :func:`generate_scenes` raises it for one of the splits.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     generate_splits(folder, {"train": 1}, size_wh=(160, 160), workers=1, progress=False)
        {'train': ['S0000']}
    """
    ids, first = {}, 0
    for split, count in counts.items():
        ids[split] = generate_scenes(
            Path(out) / split,
            count,
            size_wh=size_wh,
            seed=seed,
            first=first,
            prefix=prefix,
            difficulty=difficulty,
            workers=workers,
            progress=progress,
        )
        first += count
    return ids


def _check_arguments(count: int, size_wh: tuple[int, int], seed: int, first: int, workers: int | None) -> None:
    if count < 1:
        raise UserError(f"at least 1 scene is needed, got {count}")
    if not all(SHORTEST_SIDE <= side <= LONGEST_SIDE for side in size_wh):
        size_text = " x ".join(map(str, size_wh))
        raise UserError(f"the sides of a scene must be {SHORTEST_SIDE} to {LONGEST_SIDE} px, got {size_text}")
    if min(seed, first) < 0:
        raise UserError(f"the seed and the number of the first scene must be 0 or more, got {seed} and {first}")
    if workers is not None and workers < 1:
        raise UserError(f"at least 1 worker is needed, got {workers}")


def _write_scene(job: _Job) -> None:
    scene = render_scene(job.seed, job.number, size_wh=job.size_wh, difficulty=job.difficulty)
    atomic_write(job.folder / "images" / f"{job.image_id}.png", encode_image(scene.image, "png"))
    polygons = np.array([obj.polygon for obj in scene.objects]).reshape(-1, 8)
    class_names = [obj.name for obj in scene.objects]
    difficult = [obj.difficult for obj in scene.objects]
    label_file = job.folder / "labelTxt" / f"{job.image_id}.txt"
    write_labels(label_file, polygons.round(2), class_names, difficult, header=HEADER)


def _clear_folder(folder: Path) -> None:
    """Remove the scenes of an earlier call from a folder, and no other files.

    Raises:
        UserError: The path is not a folder, or the folder is not empty and contains no scenes of an earlier call.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError("not a folder", where=folder, hint="choose a new or empty folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    image_ids = _recorded_images(folder / RECORD_FILE)
    if image_ids is None:
        raise UserError(
            "the folder is not empty and contains no synthetic scenes", where=folder, hint="choose a new folder"
        )
    for subfolder in (folder / "images", folder / "labelTxt"):
        if not subfolder.is_dir():
            continue
        for path in subfolder.iterdir():
            if path.stem in image_ids:
                path.unlink()


def _recorded_images(path: Path) -> set[str] | None:
    """Return the image ids in the record of an earlier call; None if there is no such record."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("written_by") != WRITTEN_BY:
        return None
    image_ids = record.get("images")
    if not isinstance(image_ids, list) or not all(isinstance(image_id, str) for image_id in image_ids):
        return None
    return set(image_ids)
