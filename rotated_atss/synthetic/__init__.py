"""Synthetic aerial scenes with oriented objects of DOTA's classes, rendered from a seed."""

from rotated_atss.synthetic.difficulty import DIFFICULTIES, Difficulty
from rotated_atss.synthetic.generate import generate_scenes, generate_splits
from rotated_atss.synthetic.scene import Scene, render_scene
from rotated_atss.synthetic.site import SceneObject

__all__ = ["DIFFICULTIES", "Difficulty", "Scene", "SceneObject", "generate_scenes", "generate_splits", "render_scene"]
