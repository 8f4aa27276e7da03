"""Reports of synthetic evaluations."""

import pytest

from rotated_atss.analysis.evaluation.report import EvaluationReport
from tests.analysis.evaluation.samples import RULES, coco_report, random_boxes, task1_report


@pytest.fixture(scope="module", params=[*RULES, "horizontal"])
def report(request: pytest.FixtureRequest) -> EvaluationReport:
    """One report per rule of ``RULES`` on random oriented boxes, and one by COCO's rule on random horizontal boxes."""
    if request.param == "horizontal":
        return coco_report(*random_boxes(seed=3, oriented=False, crowds=True))
    return task1_report(*random_boxes(seed=3), **RULES[request.param])
