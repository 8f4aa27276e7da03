"""Aerial-like scenes with oriented objects of DOTA's classes, drawn from a seed."""

from data_prep.scenes.difficulty import DIFFICULTIES, Difficulty
from data_prep.scenes.generate import generate_scenes, generate_splits
from data_prep.scenes.scene import Scene, render_scene
from data_prep.scenes.site import SceneObject

__all__ = ["DIFFICULTIES", "Difficulty", "Scene", "SceneObject", "generate_scenes", "generate_splits", "render_scene"]
