"""Scenes written as DOTA folders: ``images/``, ``labelTxt/`` and ``scenes.json``, which says how they were made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rotated_atss.dota.labels import write_labels
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write
from rotated_atss.io.images import encode_image
from rotated_atss.io.processes import available_cores, run_jobs
from rotated_atss.io.progress import progress_bar
from rotated_atss.synthetic.difficulty import Difficulty, resolve_difficulty
from rotated_atss.synthetic.scene import SIZE_WH, render_scene

RECORD = "scenes.json"
WRITTEN_BY = "rotated_atss.synthetic"
HEADER = ("imagesource:generated", "gsd:null")
SHORTEST_SIDE, LONGEST_SIDE = 160, 8192
_BYTES_PER_PIXEL = 100  # of memory while a scene is rendered: the supersampled picture and fields of noise


@dataclass(frozen=True)
class _Job:
    folder: Path
    name: str
    seed: int
    index: int
    size_wh: tuple[int, int]
    difficulty: Difficulty


@dataclass(frozen=True)
class _Record:
    seed: int
    first: int
    size_wh: tuple[int, int]
    difficulty: dict[str, float]
    images: list[str]

    def write(self, folder: Path, *, complete: bool) -> None:
        entries = {"written_by": WRITTEN_BY, "complete": complete, **asdict(self)}
        atomic_write(folder / RECORD, (json.dumps(entries, indent=1) + "\n").encode())


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
    """Writes ``count`` scenes into ``out/images/*.png`` and ``out/labelTxt/*.txt``.

    The same arguments give the same files on any number of workers. A folder that an earlier call filled is filled
    anew; any other folder that is not empty is refused.

    Args:
        out: A new or empty folder, or one filled by an earlier call.
        size_wh: About how large the images are; each side differs by up to a tenth from scene to scene.
        seed: Of the series of scenes.
        first: Number of the first scene in the series: disjoint ranges of one seed never share a scene.
        prefix: Image ids are the prefix and the scene's number, as ``S0012``.
        difficulty: ``"easy"``, ``"normal"``, ``"hard"``, or knobs of your own.
        workers: Processes; None takes one a core.
        progress: Show a progress bar; None shows it on a terminal.

    Returns:
        The image ids, in order.

    Raises:
        UserError: A number out of range, a foreign folder, a full disk.
    """
    _check(count, size_wh, seed, first, workers)
    folder, knobs = Path(out), resolve_difficulty(difficulty)
    numbers = range(first, first + count)
    jobs = [_Job(folder, f"{prefix}{number:04d}", seed, number, size_wh, knobs) for number in numbers]
    record = _Record(seed, first, size_wh, asdict(knobs), [job.name for job in jobs])
    _clear(folder)
    record.write(folder, complete=False)
    memory = [_BYTES_PER_PIXEL * size_wh[0] * size_wh[1]] * count
    finished = run_jobs(_write_scene, jobs, workers or available_cores(), memory)
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
    """Writes a folder of scenes for every split, ``out/train`` and ``out/val``, say; no scene is in two of them.

    Args:
        counts: Scenes of each split, in the order in which they are numbered.

    The other arguments, and what is raised, are those of ``generate_scenes``.
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


def _check(count: int, size_wh: tuple[int, int], seed: int, first: int, workers: int | None) -> None:
    if count < 1:
        raise UserError(f"at least 1 scene is needed, not {count}")
    if not all(SHORTEST_SIDE <= side <= LONGEST_SIDE for side in size_wh):
        given = " x ".join(map(str, size_wh))
        raise UserError(f"scenes have sides of {SHORTEST_SIDE} to {LONGEST_SIDE} pixels, not {given}")
    if min(seed, first) < 0:
        raise UserError(f"the seed and the first number are 0 or more, not {seed} and {first}")
    if workers is not None and workers < 1:
        raise UserError(f"at least 1 worker is needed, not {workers}")


def _write_scene(job: _Job) -> None:
    scene = render_scene(job.seed, job.index, size_wh=job.size_wh, difficulty=job.difficulty)
    atomic_write(job.folder / "images" / f"{job.name}.png", encode_image(scene.image, "png"))
    polygons = np.array([thing.polygon for thing in scene.objects]).reshape(-1, 8)
    names = [thing.name for thing in scene.objects]
    flags = [thing.difficult for thing in scene.objects]
    write_labels(job.folder / "labelTxt" / f"{job.name}.txt", polygons.round(2), names, flags, header=HEADER)


def _clear(folder: Path) -> None:
    """Takes away what an earlier call wrote, finished or not, and nothing else."""
    if folder.exists() and not folder.is_dir():
        raise UserError("not a folder", where=folder, hint="choose a new or empty folder")
    if not folder.exists() or not any(folder.iterdir()):
        return
    stems = _recorded_images(folder / RECORD)
    if stems is None:
        raise UserError("the folder is not empty and holds no generated scenes", where=folder, hint="choose a new one")
    for part in (folder / "images", folder / "labelTxt"):
        for path in part.iterdir() if part.is_dir() else []:
            if path.stem in stems:
                path.unlink()


def _recorded_images(path: Path) -> set[str] | None:
    """The image ids of a record, or None where there is none of ours."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    ours = isinstance(record, dict) and record.get("written_by") == WRITTEN_BY
    return set(record["images"]) if ours else None
