"""``rotated-atss test``: detect on tiles, merge, evaluate and write the submission."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

from rotated_atss.cli._config_options import parse_cfg_options
from rotated_atss.cli._detectors import check_onnx_options, is_onnx
from rotated_atss.cli._framework_import import import_framework
from rotated_atss.cli._preflight import add_model_arguments, split_model_arguments
from rotated_atss.cli.train import add_shared_arguments, print_result, set_local_rank
from rotated_atss.dota.datasets import DATASET_NAMES
from rotated_atss.errors import UserError

HELP = (
    "Detect objects on tiles, merge the detections into full images, evaluate them where labels exist, and write the "
    "submission. With a COCO config: detect on images and print COCO's twelve metrics."
)
MODEL_FORMS = ("MODEL", "CONFIG CHECKPOINT")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser, MODEL_FORMS)
    parser.add_argument(
        "--data", metavar="DIR",
        help="folder of tiles, folder with tiles in its subfolder val or test, or folder of a COCO dataset (default: "
        "the data folder of the config)",
    )  # fmt: skip
    parser.add_argument(
        "--labels", action="append", metavar="DIR",
        help="label folder (labelTxt) of the full images; repeatable (default: the label folders recorded in the "
        "manifest of the tiles); with a COCO config: the instances JSON",
    )  # fmt: skip
    parser.add_argument(
        "--out", metavar="DIR",
        help="folder for ap.json and the Task1_<class>.txt files with the merged detections (default: "
        "WORK_DIR/merged); with a COCO config: folder for results.json (default: WORK_DIR/results)",
    )  # fmt: skip
    parser.add_argument("--submission", metavar="ZIP", help="write a submission for the DOTA server to this zip file")
    parser.add_argument(
        "--report", nargs="?", const="", metavar="DIR",  # an empty string stands for the default folder
        help="write a report of the evaluation to this folder (default: WORK_DIR/report), with pictures of the full "
        "images if the manifest of the tiles records the image folder. Put --report without DIR after MODEL, which "
        "would otherwise be read as DIR",
    )  # fmt: skip
    parser.add_argument(
        "--tta", action="store_true", help="use test-time augmentation (the config's tta_model and tta_pipeline)"
    )
    parser.add_argument(
        "--dataset", "--dota-version", dest="dataset", choices=DATASET_NAMES, metavar="NAME",
        help=f"dataset whose evaluation rules apply: {', '.join(DATASET_NAMES)} (default: that of the config)",
    )  # fmt: skip
    parser.add_argument(
        "--work-dir", metavar="DIR", help="folder for logs and results (default: the folder of CHECKPOINT)"
    )
    add_shared_arguments(parser)


def run(args: argparse.Namespace) -> int:
    config, checkpoint, _ = split_model_arguments(args.inputs)
    if is_onnx(checkpoint):
        return _test_onnx(config, checkpoint, args)
    import_framework()
    from rotated_atss.detection.engine.options import TestOptions
    from rotated_atss.detection.engine.runner import run_test

    set_local_rank(args)
    options = TestOptions(
        work_dir=args.work_dir, data=args.data, labels=args.labels, out=args.out, submission=args.submission,
        report=args.report, tta=args.tta, dataset=args.dataset, device=args.device, launcher=args.launcher,
        workers=args.workers, classes=args.classes, on_bad_image=args.on_bad_image,
        cfg_options=parse_cfg_options(args.cfg_options), quiet=args.quiet,
    )  # fmt: skip
    print_result(run_test(config, checkpoint, options))
    return 0


def _test_onnx(config: str | None, path: str, args: argparse.Namespace) -> int:
    """Test an ONNX file. This needs no packages for training."""
    inapplicable_options = {
        "--tta": args.tta, "--classes": args.classes, "--cfg-options": args.cfg_options,
        "--workers": args.workers is not None, "--on-bad-image skip": args.on_bad_image == "skip",
        "--launcher": args.launcher != "none",
    }  # fmt: skip
    check_onnx_options(config, inapplicable_options)
    if args.data is None:
        raise UserError(
            "an ONNX file does not state where the test data is", where="--data", hint="give a folder of tiles"
        )
    from rotated_atss.dota.folders import IMAGES, TEST_SUBSETS, find_tiles, list_images, missing_tiles_error
    from rotated_atss.io.files import write_json
    from rotated_atss.io.json_values import replace_nonfinite
    from rotated_atss.runtime import load_detector
    from rotated_atss.tiling.tile_evaluation import evaluate_on_tiles
    from rotated_atss.tiling.tile_results import TEST_RESULT, ResultOptions

    data = find_tiles(args.data, TEST_SUBSETS)
    if not (data / IMAGES).exists():
        raise missing_tiles_error(data, data / IMAGES)
    work_dir = Path(args.work_dir or Path(path).parent)
    out = args.out or work_dir / "merged"
    report = work_dir / "report" if args.report == "" else args.report  # an empty string for --report without DIR
    _check_onnx_outputs(args, data, [work_dir / TEST_RESULT], out, report)
    started = time.monotonic()
    detector = load_detector(path, device=args.device)
    log = _discard if args.quiet else print
    log(f"{path}: {detector.info.describe()}, on {detector.description}")
    result_options = ResultOptions(
        dataset=args.dataset or "v1.0",
        iou_threshold=detector.iou_threshold, out_dir=out, submission=args.submission, report_dir=report,
    )  # fmt: skip
    metrics = evaluate_on_tiles(
        detector, data, detector.classes, result_options, label_folders=args.labels, pixels=detector.pixels,
        progress=False if args.quiet else None, log=log,
    )  # fmt: skip
    result = {
        "result": "test",
        "config": detector.info.config_name,
        "checkpoint": os.path.abspath(path),
        "work_dir": os.path.abspath(work_dir),
        "log": None,
        "images": len(list_images(data / IMAGES)),
        "seconds": round(time.monotonic() - started, 1),
        "metrics": replace_nonfinite(metrics) or None,
        "out": os.path.abspath(out),
        "submission": os.path.abspath(args.submission) if args.submission else None,
        "report": os.path.abspath(report) if report and metrics else None,  # without labels, no report is written
    }
    write_json(work_dir / TEST_RESULT, result)
    print_result(result)
    return 0


def _check_onnx_outputs(
    args: argparse.Namespace, data: Path, files: list[str | Path], out: str | Path, report: str | Path | None
) -> None:
    """Check before the test that its outputs, among them ``files``, can be written and overlap no input."""
    from rotated_atss.dota.folders import IMAGES
    from rotated_atss.dota.submission import check_submission_path
    from rotated_atss.io.files import check_outputs

    if args.submission:
        check_submission_path(args.submission)
        files = [*files, args.submission]
    inputs = [data / IMAGES, data / "labelTxt", *(args.labels or [])]
    check_outputs(filter(None, (out, report)), files, inputs)
    if report is not None:
        from rotated_atss.report.build import check_report_folder

        check_report_folder(report, filter(None, (out, args.submission)))


def _discard(line: str) -> None:
    pass
