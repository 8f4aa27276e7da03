"""Options of a training run and of a test run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Changes to the config, by dotted key, for training without pretrained weights: no layers are frozen, and batch norm
# layers update their statistics.
FROM_SCRATCH = {"model.backbone.init_cfg": None, "model.backbone.frozen_stages": -1, "model.backbone.norm_eval": False}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that training and testing share.

    Attributes:
        work_dir: Folder of checkpoints and logs; None for the config's ``work_dir``. If the config has none either,
            training uses ``work_dirs/<config>``, and testing uses the checkpoint's folder.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; None for CUDA if a GPU is available, otherwise the CPU.
        launcher: ``none``, or ``pytorch`` if torchrun has started the process.
        workers: Number of processes of each data loader; None for the defaults of
            :func:`rotated_atss.detection.engine.dataloaders.configure_dataloaders`.
        on_bad_image: What to do if an image cannot be read: ``stop`` the run, or ``skip`` the image
            (:mod:`rotated_atss.detection.engine.bad_images`).
        classes: Class names of all datasets and of the model, in the order of the class indices. They are given as a
            sequence, a comma-separated string, a DOTA version or a file of names. None keeps the classes of the config.
        cfg_options: Changes to the config by dotted key.
        quiet: Print only warnings. The log file still contains all messages.
    """

    work_dir: str | Path | None = None
    device: str | None = None
    launcher: str = "none"
    workers: int | None = None
    on_bad_image: str = "stop"
    classes: str | Sequence[str] | None = None
    cfg_options: Mapping[str, Any] = field(default_factory=dict)
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainOptions(RunOptions):
    """Options of a training run.

    Attributes:
        resume: Checkpoint to resume from; True for the latest checkpoint in the work folder, False for a new run.
        overwrite: Remove the checkpoints of an earlier run from the work folder when training starts. If False, such
            checkpoints are an error, unless the run is resumed.
        amp: Use mixed precision in bfloat16.
        compile: Compile backbone and neck with ``torch.compile``.
        seed: Seed of all random numbers.
        deterministic: Use deterministic algorithms only.
        from_scratch: Train without pretrained weights and without frozen layers.
        data: Data folder, passed to :func:`rotated_atss.detection.engine.data_folders.set_train_data`; None for the
            data folder of the config.
        epochs: Number of epochs; the learning rate schedules are stretched or shortened to this number. None for the
            number of the config.
        iterations: Train for this number of iterations, log each iteration and skip validation.
        init_from: Weights to start from: a checkpoint, or the name of a published detector or backbone, which is
            downloaded. With a published backbone, only the backbone of the detector is initialized.
        reset_class_layer: Accept weights that were trained on other classes, and reinitialize the class layer in this
            case. If ``classes`` is set, this option is always on.
        on_nonfinite_loss: What to do if the loss or gradient of a batch is not finite: ``stop`` the run, or ``skip``
            the batch. None for the action set in the config.
        log_to: Comma-separated keys of :data:`rotated_atss.detection.engine.log_targets.BACKENDS`, or ``none``; None
            for the targets set in the config. The configs of this package log to TensorBoard.

    Example:
        >>> TrainOptions(from_scratch=True).config_changes["model.backbone.frozen_stages"]
        -1
    """

    resume: str | Path | bool = False
    overwrite: bool = False
    amp: bool = False
    compile: bool = False
    seed: int | None = None
    deterministic: bool = False
    from_scratch: bool = False
    data: str | Path | None = None
    epochs: int | None = None
    iterations: int | None = None
    init_from: str | Path | None = None
    reset_class_layer: bool = False
    on_nonfinite_loss: str | None = None
    log_to: str | None = None

    @property
    def config_changes(self) -> dict[str, Any]:
        """All changes to the config; ``cfg_options`` take precedence over the changes for training from scratch."""
        from_scratch_changes = FROM_SCRATCH if self.from_scratch else {}
        return {**from_scratch_changes, **self.cfg_options}


@dataclass(frozen=True, kw_only=True)
class TestOptions(RunOptions):
    """Options of a test run.

    Attributes:
        data: For DOTA, folder of tiles, or folder with a subfolder ``val`` or ``test`` of tiles. For COCO, folder that
            contains ``annotations`` and the images. None for the data folder of the config.
        labels: For DOTA, label folders of the full images; None for the folders named in the split's manifest. For
            COCO, a sequence with a single path, the instances JSON to test on; None for the JSON of the config.
        out: For DOTA, folder for the merged ``Task1_*.txt``; None for ``<work_dir>/merged``. For COCO, folder for
            ``results.json``; None for ``<work_dir>/results``.
        submission: Zip file to write for DOTA's evaluation server.
        report: Folder for the report of the evaluation; an empty string for ``<work_dir>/report``, None for no report.
        tta: Test-time augmentation with the config's ``tta_model`` and ``tta_pipeline``.
        dataset: Dataset whose evaluation rules apply instead of the rules in the config; a key of
            :data:`rotated_atss.dota.datasets.DATASETS`.

    Example:
        >>> TestOptions(data="data/dota_v1.0/val", tta=True).tta
        True
    """

    __test__ = False  # otherwise, pytest would take this class for a class of tests because of its name

    data: str | Path | None = None
    labels: Sequence[str] | None = None
    out: str | Path | None = None
    submission: str | Path | None = None
    report: str | Path | None = None
    tta: bool = False
    dataset: str | None = None
