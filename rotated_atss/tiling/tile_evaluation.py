"""Test a detector on the tiles of a split, without MMEngine: detect, merge, write and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotated_atss.dota.folders import list_images
from rotated_atss.errors import UserError
from rotated_atss.io.image_reader import PixelOptions
from rotated_atss.io.images import read_image
from rotated_atss.io.progress import progress_bar
from rotated_atss.tiling.manifest import check_tiles, find_manifest
from rotated_atss.tiling.merge_boxes import BoxDetections
from rotated_atss.tiling.predict import Detector, detect_on_tiles
from rotated_atss.tiling.tile_results import Log, ResultOptions, finish_test


def evaluate_on_tiles(
    detector: Detector,
    data: str | Path,
    classes: Sequence[str],
    options: ResultOptions,
    *,
    label_folders: Sequence[str | Path] | None = None,
    pixels: PixelOptions | None = None,
    batch_size: int = 4,
    progress: bool | None = False,
    log: Log = print,
) -> dict[str, float]:
    """Detect objects on all tiles of a folder, merge the detections per full image, and write and evaluate them.

    Args:
        detector: The detector.
        data: Output folder of a split, with ``images``.
        classes: Class names in the order of the class indices.
        options: Rules of merging and evaluation, and outputs.
        label_folders: Label folders of the full images; None uses the label folders in the manifest of the split.
        pixels: Conversion of tiles that are not 8-bit; None chooses a conversion per tile.
        batch_size: Tiles per call of the detector.
        progress: Show a progress bar over the tiles; None shows it on a terminal.
        log: Called with each line or table for the user.

    Returns:
        ``AP50``, ``AP75`` and ``AP50_95``. The metric ``coco`` adds ``AP50_95`` by object size. Without labels, the
        dict is empty.

    Raises:
        UserError: A folder or label file is missing, a tile is unreadable, or the tiles differ from the manifest.

    Example::

        detector = load_detector("model.onnx")
        evaluate_on_tiles(detector, "data/dota_v1.0/val", detector.classes, ResultOptions(out_dir="merged"))
    """
    tile_folder = Path(data) / "images"
    manifest, paths = find_manifest(data), list_images(tile_folder)
    # The notes are reasons why AP on these tiles is not the AP on the whole dataset. They are logged now because the
    # detection can take hours, and finish_test logs them again below the AP.
    notes = check_tiles(manifest, [path.stem for path in paths], tile_folder)
    for note in notes:
        log(note)
    if label_folders is None:
        existing_label_folders = _existing_folders(manifest.label_folders, log, from_manifest=True)
    else:
        existing_label_folders = _existing_folders(label_folders, log, from_manifest=False)
    detections: list[BoxDetections] = []
    with progress_bar(total=len(paths), desc="tiles", unit="tile", leave=False, show=progress) as bar:
        for start in range(0, len(paths), batch_size):
            batch = paths[start : start + batch_size]
            tiles = [read_image(path, pixels) for path in batch]
            detections += detect_on_tiles(detector, tiles, [path.stem for path in batch])
            bar.update(len(batch))
    return finish_test(
        detections,
        classes,
        options,
        label_folders=existing_label_folders,
        image_folders=manifest.image_folders,
        notes=notes,
        log=log,
    )


def _existing_folders(label_folders: Sequence[str | Path], log: Log, *, from_manifest: bool) -> list[str | Path]:
    """Return the folders that exist. Log a missing folder of the manifest; raise an error for any other."""
    existing = []
    for folder in label_folders:
        if Path(folder).is_dir():
            existing.append(folder)
        elif from_manifest:
            log(f"{folder}: the label folder in the manifest of the tiles does not exist (set it with --labels)")
        else:
            raise UserError("the label folder does not exist", where=folder)
    return existing
