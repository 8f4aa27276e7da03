"""Evaluation reports as static pages."""
