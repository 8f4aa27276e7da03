_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/sgd_1x.py",
    "../_base_/datasets/soda_a.py",
    "../_base_/models/rotated_atss_r50_fpn.py",
]

model = dict(
    bbox_head=dict(num_classes=9, bbox_coder=dict(angle_version="le90", edge_swap=True, proj_xy=True)),
)
