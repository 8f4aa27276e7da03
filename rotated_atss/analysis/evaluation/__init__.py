"""Statistics of an evaluation report: matches, curves, confusion, errors, groups, calibration and per-image counts.

All of them are computed from :class:`rotated_atss.analysis.evaluation.data.EvaluationData`, which has the same form for
DOTA and COCO, and use the matching rule of the metric that computes AP.
"""
