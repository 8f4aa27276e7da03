r"""Add the accuracy measured by a test to benchmarks/results/models_accuracy.json.

    python benchmarks/record_accuracy.py --config NAME --ap WORK_DIR/merged/ap.json --data "DOTA-v1.0 val" \
        --command "python tools/test.py NAME WORK_DIR/epoch_12.pth --data data/dota_v1.0/val" [--device cuda]

The figure is read from the ap.json written by `test` or `evaluate --json`: AP50 of DOTA, AP of COCO, or another one
given by --metric. The commit is that of this checkout, so run the command where and when the test was run. A figure of
the same config, data and metric is replaced. `make models-table` then shows it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import harness, records
from benchmarks.records import Row, environment
from rotated_atss.coco.json_file import read_json
from rotated_atss.configs import find_config
from rotated_atss.errors import UserError
from rotated_atss.io.files import write_json

NAME = "models_accuracy"


def read(path: Path) -> tuple[dict[str, Any], dict[str, float]]:
    """Read an ``ap.json``: its content and its figures by metric, the commonly cited one first."""
    content = read_json(path)
    content = content if isinstance(content, dict) else {}
    if "rows" in content:
        found = {row["key"]: row["value"] for row in content["rows"]}
    else:
        found = {name: content.get(name) for name in ("AP50", "AP75", "AP50_95")}
    found = {name: value for name, value in found.items() if value is not None}
    if not found:
        raise UserError("no AP in this file", where=path, hint="give the ap.json that `rotated-atss test` writes")
    return content, found


def accuracy_row(args: argparse.Namespace) -> Row:
    """Make the row of one figure, in percent."""
    path = Path(args.ap)
    content, found = read(path)
    metric = args.metric or next(iter(found))
    if metric not in found:
        raise UserError(f"no {metric} in this file", where=path, hint=f"it has {', '.join(found)}")
    where = environment(args.device)
    interpolation = f", {content['metric']}" if "dataset" in content else ""  # of DOTA's AP
    return {
        "config": find_config(args.config).stem, "dataset": args.data, "metric": f"{metric}{interpolation}",
        "value": round(100 * found[metric], 2), "images": content["images"], "commit": where["commit"],
        "device": where["cpu"] if where["device"] == "cpu" else where["device"], "command": args.command,
    }  # fmt: skip


def replace_row(rows: list[Row], row: Row) -> list[Row]:
    """Return the sorted rows with the new one in place of an older one of the same config, data and metric."""

    def key(each: Row) -> tuple[str, str, str]:
        return each["config"], each["dataset"], each["metric"]

    return sorted([each for each in rows if key(each) != key(row)] + [row], key=key)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", required=True, help="path or bare name")
    parser.add_argument("--ap", required=True, metavar="FILE", help="ap.json of the test")
    parser.add_argument("--data", required=True, help='tested data, as in "DOTA-v1.0 val"')
    parser.add_argument("--command", required=True, help="command of the test")
    parser.add_argument("--metric", help="another figure of the file")
    parser.add_argument("--device", default="cpu", help="device of the test: cpu (default) or cuda")
    args = parser.parse_args()
    path = records.RESULTS / f"{NAME}.json"
    try:
        harness.check_device(args.device)
        row = accuracy_row(args)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.is_file() else []
    write_json(path, {"name": NAME, "rows": replace_row(rows, row)})
    print(f"{path}: {row['value']} {row['metric']} of {row['config']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
