"""Options of a training run and of a test run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Changes to the config by dotted key: no pretrained weights, no frozen layers, and batch norm in training mode.
FROM_SCRATCH = {"model.backbone.init_cfg": None, "model.backbone.frozen_stages": -1, "model.backbone.norm_eval": False}


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that training and testing share.

    Attributes:
        work_dir: Folder of checkpoints and logs; None for that of the config, or else ``work_dirs/<config>`` in
            training and the checkpoint's folder in testing.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ...; None for the CUDA GPU if there is one, otherwise the CPU.
        launcher: ``none``, or ``pytorch`` under torchrun.
        workers: Number of processes of each data loader; None for the defaults of
            :func:`rotated_atss.detection.engine.dataloaders.configure_dataloaders`.
        on_bad_image: ``stop`` at an image that cannot be read, or ``skip`` it
            (:mod:`rotated_atss.detection.engine.bad_images`).
        classes: Class names of all datasets and of the model, in the order of the class indices: a sequence,
            a comma-separated string, a DOTA version or a file of names. None keeps the classes of the config.
        cfg_options: Changes to the config by dotted key.
        quiet: Print only warnings; the log file has everything.
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
        resume: Checkpoint to resume from; True for the latest one of the work folder, False to start a new training.
        overwrite: Remove the checkpoints of an earlier training from the work folder when the training starts. False
            makes them an error, unless the training is resumed.
        amp: Mixed precision in bfloat16.
        compile: Compile backbone and neck with ``torch.compile``.
        seed: Seed of all random numbers.
        deterministic: Use deterministic algorithms only.
        from_scratch: Train without pretrained weights and freeze nothing.
        data: Data folder instead of that of the config, as for
            :func:`rotated_atss.detection.engine.data_folders.set_train_data`.
        epochs: Number of epochs instead of that of the config; schedules keep their proportions.
        iterations: Train for this number of iterations, log each of them and skip validation.
        init_from: Checkpoint whose weights start the training, or the name of a published model, which is downloaded.
            If the name is that of a published backbone instead of a detector, only the backbone is initialized.
        reset_class_layer: Reinitialize the class layer if ``init_from`` was trained on other classes. Implied by
            ``classes``.
        on_nonfinite_loss: ``stop`` at a batch whose loss or gradient is not finite, or ``skip`` it; None for the action
            of the config.
        log_to: Comma-separated keys of :data:`rotated_atss.detection.engine.log_targets.BACKENDS`, or ``none``; None
            for the targets of the config, by default TensorBoard.

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
        """Changes for training from scratch, if chosen, and ``cfg_options``, which take precedence."""
        return {**(FROM_SCRATCH if self.from_scratch else {}), **self.cfg_options}


@dataclass(frozen=True, kw_only=True)
class TestOptions(RunOptions):
    """Options of a test run.

    Attributes:
        data: Folder of tiles, or of COCO's ``annotations`` and images, instead of that of the config.
        labels: DOTA: label folders of the full images; None for the folders named in the split's manifest. COCO: one
            path, the instances JSON to test on; None for that of the config.
        out: Folder for the merged ``Task1_*.txt`` (default ``<work_dir>/merged``), or for COCO's ``results.json``
            (default ``<work_dir>/results``).
        submission: Zip file to write for DOTA's evaluation server.
        report: Folder for the report of the evaluation; an empty string for ``<work_dir>/report``, None for no report.
        tta: Test-time augmentation with the config's ``tta_model`` and ``tta_pipeline``.
        dataset: Dataset whose evaluation rules apply instead of the rules in the config; a key of
            :data:`rotated_atss.dota.datasets.DATASETS`.

    Example:
        >>> TestOptions(data="data/dota_v1.0/val", tta=True).tta
        True
    """

    __test__ = False  # pytest would collect the class by its name

    data: str | Path | None = None
    labels: Sequence[str] | None = None
    out: str | Path | None = None
    submission: str | Path | None = None
    report: str | Path | None = None
    tta: bool = False
    dataset: str | None = None
