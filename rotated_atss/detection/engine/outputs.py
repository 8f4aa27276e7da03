"""Where a test reads its labels from and writes what it found: never into an input folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from rotated_atss.errors import UserError


def configure_outputs(cfg: Config, labels: list[str] | None, out: str | None, submission: str | None) -> None:
    """Tell the metric of a DOTA or COCO config where its labels are and where to write; any other metric is left as it
    is.

    Args:
        cfg: Changed: ``test_evaluator``, and for COCO's labels ``test_dataloader``.
        labels: DOTA: label folders of the full images. COCO: one instances JSON.
        out: Folder to write to; default ``merged`` or ``results`` in the work folder.
        submission: Zip for DOTA's server.

    Raises:
        UserError: An output that lies in an input folder, or an option that the config has no use for.
    """
    kind = _metric(cfg)
    if submission is not None and kind != "DOTAMetric":
        raise UserError("--submission writes the zip for DOTA's server; this config has another metric")
    outputs = []
    if kind == "DOTAMetric":
        outputs = _direct_dota(cfg, labels, out, submission)
    elif kind == "CocoBoxMetric":
        outputs = _direct_coco(cfg, labels, out)
    _keep_apart(outputs, [*(labels or []), *_inputs(cfg.test_dataloader.get("dataset", {}))])


def set_dota_version(cfg: Config, version: str) -> None:
    """Let the metric of a DOTA config count as this version of DOTA does.

    Raises:
        UserError: Another metric, which knows no versions.
    """
    if _metric(cfg) != "DOTAMetric":
        raise UserError("--dota-version says how DOTA counts; this config has another metric", where=cfg.filename)
    cfg.test_evaluator.version = version


def _metric(cfg: Config) -> str | None:
    """The type of the config's metric, where it has just one."""
    evaluator = cfg.test_evaluator
    return evaluator.get("type") if isinstance(evaluator, dict) else None


def _direct_dota(cfg: Config, labels: list[str] | None, out: str | None, submission: str | None) -> list[str | None]:
    evaluator = cfg.test_evaluator
    evaluator.out_dir = str(out or Path(cfg.work_dir) / "merged")
    evaluator.submission = None if submission is None else str(submission)
    if labels:
        evaluator.labels = [str(folder) for folder in labels]
    return [evaluator.out_dir, evaluator.submission]


def _direct_coco(cfg: Config, labels: list[str] | None, out: str | None) -> list[str | None]:
    dataset, out_dir = cfg.test_dataloader.dataset, str(out or Path(cfg.work_dir) / "results")
    if labels:
        if len(labels) > 1 or not Path(labels[0]).is_file():
            raise UserError("no such file: --labels takes one instances JSON with a COCO config", where=labels[0])
        dataset.ann_file = str(Path(labels[0]).resolve())  # not below data_root
    folder = (Path(dataset.get("data_root") or "") / dataset.ann_file).resolve().parent
    if Path(out_dir).resolve() == folder:  # below it would be no harm: the JSON may lie in the working folder
        raise UserError(f"lies in the input folder {folder}", where=out_dir, hint="choose another place")
    cfg.test_evaluator.out_dir = out_dir
    return [out_dir]


def _inputs(dataset: dict) -> list[Path]:
    """What a test reads from: the folder of images, and that of label files or the JSON."""
    root, prefix = Path(dataset.get("data_root") or ""), dataset.get("data_prefix") or {}
    images = prefix.get("img_path") or prefix.get("img") or "images"
    return [root / images, root / (dataset.get("ann_file") or "labelTxt")]


def _keep_apart(outputs: Sequence[str | None], inputs: Sequence[str | Path]) -> None:
    for folder in (Path(each).resolve() for each in inputs):
        for target in filter(None, outputs):
            if folder in (Path(target).resolve(), *Path(target).resolve().parents):
                raise UserError(f"lies in the input folder {folder}", where=target, hint="choose another place")
