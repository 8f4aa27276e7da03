"""Define one merge of Task1 files: the input files, their division into parts, and the output files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rotated_atss.dota.classes import resolve_classes, unknown_class_hint
from rotated_atss.dota.detections import list_task1_files, task1_path
from rotated_atss.errors import UserError
from rotated_atss.io.files import reject_overlapping_output
from rotated_atss.io.run_state import write_result
from rotated_atss.tiling.merge_parts import (
    ClassMerge,
    MergedPart,
    TextPart,
    cut_into_parts,
    images_are_separate,
    join_parts,
)


@dataclass(frozen=True)
class MergeTask:
    """The Task1 files that one merge reads and writes.

    Attributes:
        tiles_dir: Input folder.
        out_dir: Output folder.
        iou_threshold: Detections whose IoU with a higher-scoring kept detection exceeds this value are suppressed.
        classes: Classes that get an output file, with or without an input file.
        files: The input files by class name. Each file is represented by a part that covers the whole file.
        has_class_list: Whether the caller gave the classes. If not, every class with an input file is merged.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, "Task1_ship.txt").touch()
        ...     MergeTask.create(folder, "merged", 0.1, ["plane", "ship"]).classes
        ('plane', 'ship')
    """

    tiles_dir: Path
    out_dir: Path
    iou_threshold: float
    classes: tuple[str, ...]
    files: Mapping[str, TextPart]
    has_class_list: bool

    @classmethod
    def create(
        cls,
        tiles_dir: str | Path,
        out_dir: str | Path,
        iou_threshold: float,
        classes: str | Path | Sequence[str] | None,
    ) -> MergeTask:
        """Find the Task1 files of a folder and validate the arguments.

        Args:
            tiles_dir: Input folder.
            out_dir: Output folder; it need not exist.
            iou_threshold: IoU threshold of the NMS.
            classes: Class names or a DOTA version; None takes the classes that have a file.

        Raises:
            UserError: The threshold is out of range, the input folder has no Task1 files or files of other classes, or
                the output folder overlaps the input folder.
        """
        if not 0 <= iou_threshold <= 1:
            raise UserError(f"the IoU threshold must be in [0, 1], got {iou_threshold}")
        paths = list_task1_files(tiles_dir)
        names = tuple(paths) if classes is None else tuple(resolve_classes(classes))
        for name, path in paths.items():
            if name not in names:
                raise UserError(f"unknown class '{name}'", where=path, hint=unknown_class_hint(name, names))
        reject_overlapping_output(out_dir, [tiles_dir])
        files = {name: TextPart.of_file(name, paths[name], iou_threshold) for name in names if name in paths}
        return cls(Path(tiles_dir), Path(out_dir), iou_threshold, names, files, classes is not None)

    def reject_files_of_other_classes(self) -> None:
        """Raise an error if the output folder has files of other classes, which would look like part of the result."""
        has_files = self.out_dir.is_dir() and any(self.out_dir.glob("Task1_*.txt"))
        if has_files:  # checked first, because list_task1_files raises an error for a folder without Task1 files
            leftovers = [path for name, path in list_task1_files(self.out_dir).items() if name not in self.classes]
            if leftovers:
                hint = "remove it, or choose another output folder"
                raise UserError("the file of an earlier merge would not be replaced", where=leftovers[0], hint=hint)

    def cut(self, part_bytes: int) -> list[TextPart]:
        """Cut all files into parts of about ``part_bytes``."""
        return [part for file in self.files.values() for part in cut_into_parts(file, part_bytes)]

    def files_with_divided_images(self, merged: Mapping[TextPart, MergedPart]) -> list[TextPart]:
        """Return the files that must be merged as a whole, because detections on one image are in several parts.

        Args:
            merged: Result of each part.
        """
        return [
            self.files[name] for name, parts in self._group_by_class(merged).items() if not images_are_separate(parts)
        ]

    def write(self, merged: Mapping[TextPart, MergedPart]) -> list[ClassMerge]:
        """Write the merged file of every class.

        Args:
            merged: Result of each part, in the order of :meth:`cut`. The result of a whole file
                (:meth:`files_with_divided_images`) can be added; it is used instead of the results of the file's parts.

        Returns:
            Counts per class.

        Raises:
            UserError: A file cannot be written.
        """
        joined = {name: join_parts(name, parts) for name, parts in self._group_by_class(merged).items()}
        contents = {task1_path("", name).name: content for name, (_, content) in joined.items()}  # by file name
        write_result(self.out_dir, contents)
        return [counts for counts, _ in joined.values()]

    def _group_by_class(self, merged: Mapping[TextPart, MergedPart]) -> dict[str, list[MergedPart]]:
        """Return the results per class: the result of the whole file if it was merged, otherwise those of the parts."""
        part_results: dict[str, list[MergedPart]] = {name: [] for name in self.classes}
        for part, result in merged.items():
            part_results[part.name].append(result)
        file_results = {name: [merged[file]] for name, file in self.files.items() if file in merged}
        return part_results | file_results
