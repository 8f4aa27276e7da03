"""Conversion to and from objects of other tools: supervision, SAHI, FiftyOne, Label Studio, torchmetrics."""
