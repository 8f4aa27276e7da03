"""Output of ``predict``: all files are written under temporary names and moved into place at the end."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._feature_files import DOTA, FeatureFiles, list_feature_files
from rotated_atss.cli._pictures import picture_path
from rotated_atss.errors import UserError

if TYPE_CHECKING:
    from rotated_atss.tiling.merge_boxes import BoxDetections

DETECTIONS, PICTURES = "detections", "pictures"  # pictures: images with the detections drawn
PARTIAL, LOCK = "predict.partial", ".predict.lock"


class PredictionFiles:
    r"""Context manager that writes the files of one run of ``predict``.

    Detections are appended image by image, so none are held in memory. Without :meth:`commit` the output folder is
    left unchanged. The lock ``LOCK`` in the output folder is held while the context is active, so that two runs do not
    write into it at once.

    Args:
        out: Output folder with ``DETECTIONS`` and ``PICTURES``, created if missing.
        json_path: File of the COCO results; None writes none.
        features: Formats of the detections; None writes Task1 files only.

    Raises:
        UserError: The output cannot be written, or another run writes into it.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from rotated_atss.tiling.merge_boxes import BoxDetections
        >>> image = BoxDetections("P1", torch.tensor([[10.0, 10, 8, 4, 0]]), torch.tensor([0.5]), torch.tensor([1]))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with PredictionFiles(folder) as files:
        ...         files.add(image, ["plane", "ship"])
        ...         files.commit(["plane", "ship"])
        ...     Path(folder, "detections", "Task1_ship.txt").read_text()
        []
        'P1 0.5 6.0 8.0 14.0 8.0 14.0 12.0 6.0 12.0\n'
    """

    def __init__(
        self, out: str | Path, json_path: str | Path | None = None, features: FeatureFiles | None = None
    ) -> None:
        self.features = FeatureFiles() if features is None else features
        self.out, self.partial = Path(out), Path(out) / PARTIAL
        self.json_path = None if json_path is None else Path(json_path)
        self._json_part = self.json_path and self.json_path.with_name(
            f".{self.json_path.name}.{secrets.token_hex(4)}.part"
        )
        self._has_results = False
        self._created = False
        self._stack = ExitStack()

    def __enter__(self) -> PredictionFiles:
        from rotated_atss.io.run_lock import run_lock

        try:
            self._created = not self.out.exists()
            self.out.mkdir(parents=True, exist_ok=True)
            self._stack.callback(self._remove_created)
            self._stack.enter_context(run_lock(self.out / LOCK))
            shutil.rmtree(self.partial, ignore_errors=True)  # left by a killed run
            self._stack.callback(shutil.rmtree, self.partial, ignore_errors=True)
            for name in (DETECTIONS, PICTURES):
                (self.partial / name).mkdir(parents=True)
                self._check_writable(self.out / name)
            if self._json_part is not None:
                self._json_part.parent.mkdir(parents=True, exist_ok=True)
                self._stack.callback(self._json_part.unlink, missing_ok=True)
                self._json_part.write_bytes(b"[")
        except OSError as error:
            self._stack.close()
            what = f"the output cannot be written: {error.strerror}"
            raise UserError(what, where=error.filename or self.out, hint="choose another output path") from error
        except UserError:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _remove_created(self) -> None:
        if self._created and not any(self.out.iterdir()):
            self.out.rmdir()

    @staticmethod
    def _check_writable(folder: Path) -> None:
        if folder.exists():
            probe = folder / f".{secrets.token_hex(4)}.part"
            probe.touch()
            probe.unlink()

    def picture_path(self, image: Path) -> Path:
        """Return the temporary path of an image's picture."""
        return picture_path(self.partial / PICTURES, image)

    def add(
        self, detections: BoxDetections, classes: Sequence[str], coco_results: Sequence[dict[str, Any]] = ()
    ) -> None:
        """Append the detections of one image.

        Args:
            detections: Detections on a full image.
            classes: Class names indexed by label; they become the names of the Task1 files.
            coco_results: The same detections in COCO's results format.

        Raises:
            OSError: The files cannot be written, for example because the disk is full. This affects all images, so the
                caller must end the run.
        """
        from rotated_atss.dota.detections import format_detections, task1_path
        from rotated_atss.tiling.merge_boxes import to_task1

        for name, class_detections in to_task1([detections], classes).items():
            if len(class_detections):
                with open(task1_path(self.partial / DETECTIONS, name), "ab") as file:
                    file.write(format_detections(class_detections))
        if self._json_part is not None and coco_results:
            text = ", ".join(map(json.dumps, coco_results))
            with open(self._json_part, "ab") as file:
                file.write((f", {text}" if self._has_results else text).encode())
            self._has_results = True

    def commit(self, classes: Sequence[str]) -> list[Path]:
        """Move all files into place.

        Args:
            classes: Names of the classes that get a file, even if it has no detections.

        Returns:
            Removed files: pictures and files of ``--format`` of an earlier run that this run does not replace.
        """
        from rotated_atss.dota.detections import task1_path
        from rotated_atss.visualization.png_output import is_written_by_this_package

        for name in classes:
            task1_path(self.partial / DETECTIONS, name).touch()
        features = self.features.write(self.partial, self.partial / DETECTIONS, classes)
        if DOTA in self.features.formats:
            (self.out / DETECTIONS).mkdir(exist_ok=True)
        if any((self.partial / PICTURES).iterdir()):
            (self.out / PICTURES).mkdir(exist_ok=True)
        # Remove old Task1 files before replacing pictures, so that an interrupted commit never leaves detections of an
        # earlier run.
        for name in classes:
            task1_path(self.out / DETECTIONS, name).unlink(missing_ok=True)
        old_features = list_feature_files(self.out)
        for path in old_features:
            path.unlink()
        pictures = {path.name: path for path in (self.partial / PICTURES).iterdir()}
        stale = [
            path
            for path in (self.out / PICTURES).glob("*.png")
            if path.name not in pictures and path.is_file() and is_written_by_this_package(path)
        ]
        for path in stale:
            path.unlink()
        for name, path in pictures.items():
            os.replace(path, self.out / PICTURES / name)
        for name in classes if DOTA in self.features.formats else ():
            os.replace(task1_path(self.partial / DETECTIONS, name), task1_path(self.out / DETECTIONS, name))
        for path in features:
            os.replace(path, self.out / path.name)
        if self.json_path is not None and self._json_part is not None:
            with open(self._json_part, "ab") as file:
                file.write(b"]\n")
            os.replace(self._json_part, self.json_path)
        written = {path.name for path in features}
        return [*stale, *(path for path in old_features if path.name not in written)]
