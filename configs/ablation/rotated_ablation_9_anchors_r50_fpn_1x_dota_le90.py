# 9 anchors per location, each a separate candidate: 9 x topk candidates per level.
_base_ = "rotated_ablation_atss_r50_fpn_1x_dota_le90.py"

model = dict(bbox_head=dict(anchor_generator=dict(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])))
