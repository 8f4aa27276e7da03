"""Write the output files of ``predict``: first to a temporary folder, from which a finished run moves them."""

from __future__ import annotations

import json
import secrets
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rotated_atss.cli._format_option import list_vector_files
from rotated_atss.cli._pictures import picture_path
from rotated_atss.errors import UserError, count_of, is_or_are
from rotated_atss.io.files import atomic_write
from rotated_atss.io.run_state import check_journal, finish_moves, first_difference, plan_moves, read_state
from rotated_atss.io.shards import Shard, common_lock, shard_lock

if TYPE_CHECKING:
    from rotated_atss.tiling.merge_boxes import BoxDetections
    from rotated_atss.tiling.prediction_record import ImageInfo

# Names in the output folder:
DETECTIONS = "detections"  # folder of the Task1 files
PICTURES = "pictures"  # folder of the images with drawn detections
PARTIAL = "predict.partial"  # folder of the unfinished run ("partial folder"), removed at the end of the run

# Names in the partial folder:
_RECORDS = "records"  # folder with one file per finished or failed image
_RESULTS = "results"  # folder with the result files, before they are moved to the output folder
_DESCRIPTION = "run.json"  # description of the run
_JOURNAL = "moves.json"  # the renames that move the result files to the output folder

COMMAND = "predict"  # name of the command, in the names of its lock files


class ImageRecords:
    """Per-image files in the partial folder of a run. Picklable, so that workers of a cluster can write them.

    Args:
        partial: The partial folder.
    """

    def __init__(self, partial: Path) -> None:
        self.partial = partial
        self.results = partial / _RESULTS

    def picture_path(self, image: Path) -> Path:
        """Return the temporary path of an image's picture."""
        return picture_path(self.results / PICTURES, image)

    def is_done(self, image: str) -> bool:
        """Return whether the detections on an image are recorded."""
        from rotated_atss.tiling.prediction_record import is_complete

        return is_complete(self._record_path(image))

    def add(self, detections: BoxDetections, info: ImageInfo) -> None:
        """Record the detections on an image. The image then counts as finished, so its picture must be written first.

        Args:
            detections: Detections on a full image.
            info: Properties of the image.

        Raises:
            OSError: The file cannot be written, for example because the disk is full. All images would fail, so the
                caller must end the run.
        """
        from rotated_atss.tiling.prediction_record import write_record

        write_record(self._record_path(detections.name), detections, info)
        self._failure_path(detections.name).unlink(missing_ok=True)

    def add_failure(self, image: str, error: UserError) -> None:
        """Record that an image cannot be processed. The next run tries it again."""
        self._failure_path(image).write_text(f"{error}\n")

    def has_failed(self, image: str) -> bool:
        """Return whether an image could not be processed."""
        return self._failure_path(image).exists()

    def _record_path(self, image: str) -> Path:
        return self.partial / _RECORDS / f"{image}.npz"

    def _failure_path(self, image: str) -> Path:
        return self.partial / _RECORDS / f"{image}.failed"


class PredictionFiles(ImageRecords):
    """Context manager for the files of one run of ``predict``. If a run is interrupted, the same command continues it.

    The partial folder ``PARTIAL`` in the output folder contains the detections and the picture of every finished image.
    It remains after a run that is stopped or killed, unless no image is finished. :meth:`commit` writes the result
    files to the partial folder, then a journal of the renames that move them to the output folder, and then renames
    them. If a run is stopped after it has written the journal, the next run first completes the renames.

    Args:
        out: Output folder with ``DETECTIONS`` and ``PICTURES``, created if missing.
        description: Everything that the result depends on, as JSON values. An interrupted run is continued only if its
            description is the same.
        images: Names of all images, without suffix.
        json_path: File of the COCO results; None if none are written.
        overwrite: Whether to discard an interrupted run.
        shard: The part of the images that this run processes, while other runs write the other parts to the same
            output folder; None for all images.

    Attributes:
        shard_images: Names of the images that this run processes.
        outcome: None before :meth:`commit`, a dict after it. If an interrupted run had only its renames left to do,
            ``outcome`` is this dict from the start. The keys are ``summary``, ``failed`` (number of images that could
            not be processed), ``removed`` (number of pictures of an earlier run that were removed because this run does
            not replace them), ``removed_files`` (names of other removed files) and ``vector_files`` (names of the
            written vector files).

    Raises:
        UserError: The output cannot be written, another run writes to it, or an interrupted run has another
            description.
    """

    def __init__(
        self,
        out: str | Path,
        description: Mapping[str, Any],
        images: Sequence[str],
        *,
        json_path: str | Path | None = None,
        overwrite: bool = False,
        shard: Shard | None = None,
    ) -> None:
        super().__init__(Path(out) / PARTIAL)
        self.out = Path(out)
        self.images = images
        self.shard_images = images if shard is None else shard.select(images)
        self.json_path = None if json_path is None else Path(json_path)
        self.outcome: dict[str, Any] | None = None
        # The description is compared with one read from a JSON file, in which tuples have become lists.
        self._description = json.loads(json.dumps(description))
        self._overwrite, self._shard = overwrite, shard
        self._has_created_out = False
        self._temporary_paths: dict[Path, Path] = {}  # of result files outside the output folder, by final path
        self._stack = ExitStack()

    def __enter__(self) -> PredictionFiles:
        try:
            self._has_created_out = not self.out.exists()
            self.out.mkdir(parents=True, exist_ok=True)
            self._stack.callback(self._remove_empty_out)
            # The lock is held until the end of the run. Until then, no other run of this shard and no run of all images
            # can start.
            self._stack.enter_context(shard_lock(self.out, COMMAND, self._shard))
            with self._common_lock():
                self._prepare()
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
        num_done = sum(map(self.is_done, self.images)) if self.outcome is None else 0
        if self.outcome is not None:
            with self._common_lock(), suppress(FileNotFoundError):  # another shard may have removed the folder
                self._remove_partial()
        elif self.partial.exists() and not num_done and self._shard is None:
            # There is nothing to continue. A run of a shard keeps the folder, because other shards may still use it.
            shutil.rmtree(self.partial, ignore_errors=True)
        elif self.partial.exists() and error is not None:
            images = count_of(len(self.images), "image")
            print(f"{num_done} of {images} {is_or_are(num_done)} finished; the same command continues")
        if not (self.partial / _JOURNAL).exists():  # With a journal, the next run still moves these files.
            for path in self._temporary_paths.values():
                path.unlink(missing_ok=True)
        self._stack.close()

    def _prepare(self) -> None:
        """Finish, continue or discard an interrupted run, and create the folders."""
        journal = read_state(self.partial / _JOURNAL)
        if journal is not None:
            json_folders = [] if self.json_path is None else [self.json_path.parent]
            check_journal(journal, self.partial / _JOURNAL, [self.out, *json_folders])
            finish_moves(journal)
            description, outcome = journal.get("run"), journal.get("note")  # written by commit
            is_same_run = isinstance(description, dict) and first_difference(description, self._description) is None
            if is_same_run and isinstance(outcome, dict) and not self._overwrite:
                self.outcome = outcome
                return
            self._remove_partial()  # the interrupted run is now complete; this run starts from nothing
        self._check_continuable()
        for folder in (self.partial / _RECORDS, self.results / PICTURES):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in (self.out / DETECTIONS, self.out / PICTURES):
            self._check_writable(folder)
        if self.json_path is not None:
            self.json_path.parent.mkdir(parents=True, exist_ok=True)
            self._check_writable(self.json_path.parent)
        if not (self.partial / _DESCRIPTION).exists():
            atomic_write(self.partial / _DESCRIPTION, json.dumps(self._description).encode())

    def _check_continuable(self) -> None:
        """Check that this run can continue an interrupted run, if there is one.

        An interrupted run is discarded if ``overwrite`` is set, or if it has another description and no finished image.

        Raises:
            UserError: The interrupted run has another description and finished images, and ``overwrite`` is not set.
        """
        description = read_state(self.partial / _DESCRIPTION)  # of the interrupted run
        difference = None if description is None else first_difference(description, self._description)
        has_records = description is not None and any((self.partial / _RECORDS).glob("*.npz"))
        if difference is not None and has_records and not self._overwrite:
            hint = "repeat its command to continue it, or pass --overwrite to discard it"
            raise UserError(f"an interrupted run differs: {difference}", where=self.partial, hint=hint)
        if self._overwrite or difference is not None or description is None:
            shutil.rmtree(self.partial, ignore_errors=True)
        elif self._shard is None:  # Other shards may be writing such files now; without shards, no other run is.
            for path in self.partial.rglob(".*.part"):  # left by a killed process
                path.unlink()

    def _common_lock(self) -> AbstractContextManager[None]:
        """Return the lock for changes of files that the shards have in common."""
        return common_lock(self.out, COMMAND, self._shard)

    def _remove_empty_out(self) -> None:
        if self._has_created_out and self.out.exists() and not any(self.out.iterdir()):
            self.out.rmdir()

    @staticmethod
    def _check_writable(folder: Path) -> None:
        """Raise an OSError if the folder exists and no file can be created in it."""
        if folder.exists():
            probe = folder / f".{secrets.token_hex(4)}.part"
            probe.touch()
            probe.unlink()

    def count_unprocessed(self) -> int:
        """Return the number of images that neither this run nor another shard has processed yet."""
        if not (self.partial / _DESCRIPTION).exists():  # another shard has finished the whole run
            return 0
        return sum(not (self.has_failed(image) or self.is_done(image)) for image in self.images)

    def temporary_path(self, target: str | Path) -> Path:
        """Return the path to which a result file outside the output folder is written; :meth:`commit` moves it.

        The path is in the folder of ``target``. Its name contains a checksum of the output folder, so that runs with
        different output folders do not use the same path.

        Args:
            target: Final path of the file.
        """
        target = Path(target)
        checksum = zlib.crc32(str(self.out.resolve()).encode())
        self._temporary_paths[target] = target.with_name(f".{target.name}.{checksum:08x}.part")
        return self._temporary_paths[target]

    def commit(self, write_files: Callable[[list[Path]], str], stale: Sequence[Path] = ()) -> None:
        """Write the result files, move them to their final paths and set ``outcome``.

        Args:
            write_files: Function that writes the result files to the folder ``results`` and to :meth:`temporary_path`,
                and returns a summary. Its argument is the list of the record files of finished images, in the order of
                the images.
            stale: Files of an earlier run to remove.
        """
        with self._common_lock():
            if not (self.partial / _DESCRIPTION).exists() or (self.partial / _JOURNAL).exists():
                return  # another shard has committed
            # a killed process can have left result files
            shutil.rmtree(self.results / DETECTIONS, ignore_errors=True)
            (self.results / DETECTIONS).mkdir()
            for path in list_vector_files(self.results):
                path.unlink()
            record_paths = {image: self._record_path(image) for image in self.images if self.is_done(image)}
            summary = write_files(list(record_paths.values()))
            for path in (self.results / PICTURES).glob("*.png"):
                if path.stem not in record_paths:  # the image became unreadable after its picture was written
                    path.unlink()
            moves, stale_pictures = self._list_moves(), self._list_stale_pictures()
            earlier_files = [*stale, *list_vector_files(self.out)]
            targets = {target for _, target in moves}
            outcome = {
                "summary": summary, "failed": len(self.images) - len(record_paths), "removed": len(stale_pictures),
                "removed_files": [path.name for path in earlier_files if path not in targets and path.exists()],
                "vector_files": [path.name for path in list_vector_files(self.results)],
            }  # fmt: skip
            removals = [*stale_pictures, *earlier_files]  # plan_moves skips the files that a move replaces
            finish_moves(plan_moves(self.partial / _JOURNAL, moves, removals, run=self._description, note=outcome))
        self.outcome = outcome

    def _list_moves(self) -> list[tuple[Path, Path]]:
        """List the (source, target) of all files; pictures are last, so that no picture is ever without detections."""
        files = [path for path in sorted(self.results.rglob("*")) if path.is_file() and not path.name.startswith(".")]
        files.sort(key=lambda path: path.parent.name == PICTURES)
        moves = [(path, target) for target, path in self._temporary_paths.items()]
        return moves + [(path, self.out / path.relative_to(self.results)) for path in files]

    def _list_stale_pictures(self) -> list[Path]:
        """List pictures of an earlier run that this run does not replace."""
        from rotated_atss.visualization.png_output import is_written_by_this_package

        return [
            path
            for path in sorted((self.out / PICTURES).glob("*.png"))
            if not (self.results / PICTURES / path.name).exists()
            and path.is_file()
            and is_written_by_this_package(path)
        ]

    def _remove_partial(self) -> None:
        """Remove the partial folder. The journal is removed last: for the next run, it marks this run as complete."""
        for path in self.partial.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != _JOURNAL:
                path.unlink()
        (self.partial / _JOURNAL).unlink(missing_ok=True)
        self.partial.rmdir()
