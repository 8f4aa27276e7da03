_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/sgd_1x.py",
    "../_base_/datasets/dota.py",
    "../_base_/models/rotated_atss_r50_fpn.py",
]

model = dict(bbox_head=dict(bbox_coder=dict(coding="le90", edge_swap=True, proj_xy=True)))
