"""Add the accuracy that a test of ours has measured to benchmarks/results/models_accuracy.json.

    python benchmarks/record_accuracy.py --config NAME --ap WORK_DIR/merged/ap.json --data "DOTA-v1.0 val" \\
        --command "python tools/test.py NAME WORK_DIR/epoch_12.pth --data data/dota/val" [--device cuda]

The figure is read from the ap.json that `test` (or `evaluate --json`) has written: AP50 of DOTA, AP of COCO, unless
--metric names another one. The commit is that of this checkout: run it where, and when, it was measured. A figure of
the same config, data and metric is replaced. `make models-table` then shows it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness
from rotated_atss.configs import find_config
from rotated_atss.errors import UserError
from rotated_atss.io.files import atomic_write

NAME = "models_accuracy"

Row = dict[str, Any]


def figures(path: Path) -> dict[str, float]:
    """Every figure of an ``ap.json`` of ours, between 0 and 1, by name; the one usually cited first.

    Raises:
        UserError: Not such a file.
    """
    content = _read(path)
    if "rows" in content:
        found = {row["key"]: row["value"] for row in content["rows"]}
    else:
        found = {name: content.get(name) for name in ("AP50", "AP75", "AP50_95")}
    known = {name: value for name, value in found.items() if value is not None}
    if not known:
        raise UserError("no AP in it", where=path, hint="give the ap.json that `rotated-atss test` writes")
    return known


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read this file: {error}", where=path) from error
    if not isinstance(content, dict):
        raise UserError("no AP in it", where=path, hint="give the ap.json that `rotated-atss test` writes")
    return content


def how(content: dict[str, Any]) -> str:
    """What the figure's name leaves open: how DOTA counts."""
    return f", {content['metric']}" if "version" in content else ""


def new_row(args: argparse.Namespace) -> Row:
    path = Path(args.ap)
    found, content = figures(path), _read(path)
    metric = args.metric or next(iter(found))
    if metric not in found:
        raise UserError(f"no {metric} in it", where=path, hint=f"it has {', '.join(found)}")
    where = harness.environment(args.device)
    return {
        "config": find_config(args.config).stem,
        "dataset": args.data,
        "metric": f"{metric}{how(content)}",
        "value": round(100 * found[metric], 2),
        "images": content["images"],
        "commit": where["commit"],
        "device": where["cpu"] if where["device"] == "cpu" else where["device"],
        "command": args.command,
    }


def added(rows: list[Row], row: Row) -> list[Row]:
    """The rows with the new one, sorted; it takes the place of an older one of its kind."""

    def kind(each: Row) -> tuple[str, str, str]:
        return each["config"], each["dataset"], each["metric"]

    return sorted([each for each in rows if kind(each) != kind(row)] + [row], key=kind)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="path or bare name")
    parser.add_argument("--ap", required=True, metavar="FILE", help="ap.json of the test")
    parser.add_argument("--data", required=True, help='on what it was tested, as in "DOTA-v1.0 val"')
    parser.add_argument("--command", required=True, help="the command that measured it")
    parser.add_argument("--metric", help="another figure of the file")
    parser.add_argument("--device", default="cpu", help="where it was tested: cpu (default) or cuda")
    args = parser.parse_args()
    path = harness.RESULTS / f"{NAME}.json"
    try:
        harness.check_device(args.device)
        row = new_row(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    rows = json.loads(path.read_text(encoding="utf-8"))["results"] if path.is_file() else []
    atomic_write(path, (json.dumps({"name": NAME, "results": added(rows, row)}, indent=1) + "\n").encode())
    print(f"{path}: {row['value']} {row['metric']} of {row['config']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
