"""Compute, tabulate and plot statistics of datasets, label assignment, trainings and evaluations."""
