"""Figures of an evaluation report: matches, curves, confusion, errors, groups, calibration and per-image counts.

All figures are computed from one neutral input, :class:`rotated_atss.analysis.evaluation.data.EvaluationData`, with the
matching rule of the metric that gives the AP.
"""
