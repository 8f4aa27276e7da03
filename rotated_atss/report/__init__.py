"""Evaluation reports as static HTML pages."""
