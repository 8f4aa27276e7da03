"""Set the labels and output paths of a test run in its config, and check that no output overlaps an input."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmengine.config import Config

from rotated_atss.dota.submission import check_submission_path
from rotated_atss.errors import UserError
from rotated_atss.io.files import check_outputs
from rotated_atss.report.build import check_report_folder


def configure_outputs(
    cfg: Config,
    labels: Sequence[str] | None,
    out: str | Path | None,
    submission: str | Path | None,
    report: str | Path | None = None,
) -> None:
    """Set the labels and output paths of a config's DOTA or COCO metric, in place.

    Other metrics are not changed.

    Args:
        cfg: The config. ``test_evaluator`` and, for COCO's labels, ``test_dataloader`` are changed.
        labels: For DOTA, label folders of the full images; for COCO, a single path of an instances JSON. None keeps the
            labels of the config.
        out: Output folder; None for ``merged`` (DOTA) or ``results`` (COCO) in the work folder.
        submission: Zip file for DOTA's evaluation server; None for no zip file.
        report: Folder of the report; an empty string for ``report`` in the work folder, None for no report.

    Raises:
        UserError: An output is an input or is inside an input; an output cannot be written; or an option does not apply
            to the metric. An output folder that contains inputs is accepted.

    Example:
        >>> cfg = Config(dict(work_dir="work", test_evaluator=dict(type="DOTAMetric")))
        >>> cfg.test_dataloader = dict(dataset=dict(data_root="data/dota_v1.0/val"))
        >>> configure_outputs(cfg, labels=None, out="results", submission=None)
        >>> cfg.test_evaluator.out_dir
        'results'
    """
    metric_type = _find_metric_type(cfg)
    if submission is not None and metric_type != "DOTAMetric":
        raise UserError("--submission needs a config with DOTAMetric; this config has a different metric")
    if report is not None:
        report_folder = Path(report) if str(report) else Path(cfg.work_dir) / "report"
        _configure_report(cfg, metric_type, report_folder)
    output_folders: list[str] = []
    output_files = []
    if submission:
        check_submission_path(submission)
        output_files.append(str(submission))
    if metric_type == "DOTAMetric":
        output_folders.append(_configure_dota(cfg, labels, out, submission))
    elif metric_type == "CocoBoxMetric":
        output_folders.append(_configure_coco(cfg, labels, out))
    if report is not None:
        check_report_folder(cfg.test_evaluator.report_dir, [*output_folders, *output_files])
        output_folders.append(cfg.test_evaluator.report_dir)
    inputs: list[str | Path] = [*(labels or []), *_input_paths(cfg.test_dataloader.get("dataset", {}))]
    check_outputs(output_folders, output_files, inputs)


def set_dataset_rules(cfg: Config, name: str) -> None:
    """Make a config evaluate by the rules of a given dataset, in place.

    Args:
        cfg: The config. ``test_evaluator`` is changed.
        name: A key of :data:`rotated_atss.dota.datasets.DATASETS`, such as ``v1.5`` for DOTA.

    Raises:
        UserError: The metric of the config is not ``DOTAMetric``.

    Example:
        >>> cfg = Config(dict(test_evaluator=dict(type="DOTAMetric", dataset="v1.0")))
        >>> set_dataset_rules(cfg, "v1.5")
        >>> cfg.test_evaluator.dataset
        'v1.5'
    """
    if _find_metric_type(cfg) != "DOTAMetric":
        what = "--dataset needs a config with DOTAMetric; this config has a different metric"
        raise UserError(what, where=cfg.filename)
    cfg.test_evaluator.dataset = name


def _find_metric_type(cfg: Config) -> str | None:
    """Return the type of the config's metric; None if it has several metrics."""
    evaluator = cfg.test_evaluator
    return evaluator.get("type") if isinstance(evaluator, dict) else None


def _configure_report(cfg: Config, metric_type: str | None, folder: Path) -> None:
    if metric_type not in ("DOTAMetric", "CocoBoxMetric"):
        what = "--report needs a config with DOTAMetric or CocoBoxMetric; this config has a different metric"
        raise UserError(what)
    cfg.test_evaluator.report_dir = str(folder)


def _configure_dota(
    cfg: Config, labels: Sequence[str] | None, out: str | Path | None, submission: str | Path | None
) -> str:
    """Set the outputs and labels of DOTA's metric; return the output folder."""
    evaluator = cfg.test_evaluator
    out_dir = str(out or Path(cfg.work_dir) / "merged")
    evaluator.out_dir = out_dir
    evaluator.submission = None if submission is None else str(submission)
    if labels:
        evaluator.labels = [str(folder) for folder in labels]
    return out_dir


def _configure_coco(cfg: Config, labels: Sequence[str] | None, out: str | Path | None) -> str:
    """Set the output folder and labels of COCO's metric; return the output folder."""
    dataset = cfg.test_dataloader.dataset
    out_dir = str(out or Path(cfg.work_dir) / "results")
    if labels:
        if len(labels) > 1 or not Path(labels[0]).is_file():
            what = "with a COCO config, --labels must be a single instances JSON, and the file must exist"
            raise UserError(what, where=", ".join(map(str, labels)))
        # The dataset would look for a relative path in its data_root.
        dataset.ann_file = str(Path(labels[0]).resolve())
    json_folder = (Path(dataset.get("data_root") or "") / dataset.ann_file).resolve().parent
    # The folder of the instances JSON must not be the output folder, because results.json could replace a JSON of the
    # dataset. check_outputs, which is called later, would accept this folder, because it only contains an input.
    if Path(out_dir).resolve() == json_folder:
        raise UserError(f"the output overlaps the input {json_folder}", where=out_dir, hint="choose another output")
    cfg.test_evaluator.out_dir = out_dir
    return out_dir


def _input_paths(dataset: dict) -> list[Path]:
    """Return the inputs of a dataset: the folder of images, and the folder of label files or the instances JSON."""
    root, prefix = Path(dataset.get("data_root") or ""), dataset.get("data_prefix") or {}
    images = prefix.get("img_path") or prefix.get("img") or "images"
    return [root / images, root / (dataset.get("ann_file") or "labelTxt")]
