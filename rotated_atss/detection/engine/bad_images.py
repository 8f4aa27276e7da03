"""Skip unreadable images in training and testing, log their number and list their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from rotated_atss.detection.datasets.loading import BadImageError
from rotated_atss.detection.datasets.wrapper import DatasetWrapper
from rotated_atss.detection.evaluation.detections import UNREADABLE
from rotated_atss.errors import UserError, count_of
from rotated_atss.io.files import append_line
from rotated_atss.io.image_header import read_header

BAD_IMAGES_FILE = "bad_images.txt"
_MAX_LOGGED_IMAGES = 5
_DEFAULT_SIDE = 64  # side in pixels of the black image if the size of the unreadable image is unknown


class SkippingDataset(DatasetWrapper):
    """Dataset that replaces images that cannot be read.

    In training, the next readable image replaces an unreadable image. In testing, this replacement would evaluate the
    next image twice, so a black image is used instead. The black image is marked as unreadable, and the metrics ignore
    its detections.

    Args:
        dataset: Config of the wrapped dataset.
        list_path: Text file to which all loader processes append the errors.
    """

    def __init__(self, dataset: dict, list_path: str) -> None:
        super().__init__(dataset)
        self.__dict__["list_path"] = list_path  # an assignment would set it on the wrapped dataset

    def __getitem__(self, index: int) -> Any:
        """Load a sample.

        Raises:
            UserError: No image can be read.
        """
        for offset in range(len(self)):
            try:
                return self.dataset[(index + offset) % len(self)]
            except BadImageError as error:
                append_line(Path(self.list_path), str(error).encode())
                if getattr(self.dataset, "test_mode", False):
                    return self._black_sample(index)
        raise UserError("no image of the dataset can be read", where=self.list_path)

    def _black_sample(self, index: int) -> Any:
        """Return the test pipeline's output, marked as unreadable, for a black image of the unreadable image's size."""
        info = self.dataset.get_data_info(index)
        image_hw = info.get("height"), info.get("width")
        if None in image_hw:
            header = read_header(info["img_path"])
            image_hw = (_DEFAULT_SIDE, _DEFAULT_SIDE) if header is None else (header.height, header.width)
        info.update(img=np.zeros((*image_hw, 3), np.uint8), img_shape=image_hw, ori_shape=image_hw)
        for transform in self.dataset.pipeline.transforms[1:]:  # the first one loads the image
            info = transform(info)
        samples = info["data_samples"]  # a list with one sample per augmented copy in test-time augmentation
        for sample in samples if isinstance(samples, list) else [samples]:
            sample.set_metainfo({UNREADABLE: True})
        return info


class BadImagesHook(Hook):
    """Log the number and the names of the skipped images at the end.

    Args:
        list_path: Text file that :class:`SkippingDataset` writes. A file of an earlier run is removed at the start.
    """

    def __init__(self, list_path: str | Path) -> None:
        self._path = Path(list_path)

    def before_run(self, runner: Runner) -> None:
        """Remove the list of an earlier run."""
        if is_main_process():
            self._path.unlink(missing_ok=True)
        barrier()  # no process may append to the list before it is removed

    def after_train(self, runner: Runner) -> None:
        """Log the images that training and validation skipped."""
        self._report(runner, "")

    def after_test(self, runner: Runner) -> None:
        """Log the images that the test skipped."""
        self._report(runner, "; in the result they are images without detections")

    def _report(self, runner: Runner, effect: str) -> None:
        lines = read_distinct_lines(self._path)  # an image that is skipped in several epochs has several equal lines
        if lines:
            more = "; ..." if len(lines) > _MAX_LOGGED_IMAGES else ""
            shown = "; ".join(lines[:_MAX_LOGGED_IMAGES]) + more
            what = f"skipped {count_of(len(lines), 'image')} that cannot be read{effect}"
            runner.logger.warning(f"{what} (list: {self._path}): {shown}")


def skip_bad_images(dataloader: Any, list_path: str | Path) -> Any:
    """Return the config of a data loader whose dataset skips images that cannot be read.

    Args:
        dataloader: Config of a data loader. It is not changed. Anything else, such as a built loader, is returned
            unchanged.
        list_path: Text file to which :class:`SkippingDataset` appends the errors.

    Example:
        >>> skip_bad_images(dict(dataset=dict(type="A")), "bad_images.txt")["dataset"]["dataset"]
        {'type': 'A'}
    """
    if not isinstance(dataloader, dict) or not isinstance(dataloader.get("dataset"), dict):
        return dataloader
    wrapped = dict(type=SkippingDataset, dataset=dataloader["dataset"], list_path=str(list_path))
    return {**dataloader, "dataset": wrapped}


def read_distinct_lines(path: str | Path) -> list[str]:
    """Return the distinct lines of a text file in their order; an empty list if the file does not exist.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for _ in range(2):
        ...         append_line(Path(folder, "a.txt"), b"P1.png: not a readable image")
        ...     read_distinct_lines(f"{folder}/a.txt")
        ['P1.png: not a readable image']
    """
    text = Path(path).read_text() if Path(path).is_file() else ""
    return list(dict.fromkeys(text.splitlines()))
