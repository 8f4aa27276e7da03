_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/sgd_6x.py",
    "../_base_/datasets/hrsid.py",
    "../_base_/models/rotated_atss_r50_fpn.py",
]

model = dict(
    # mean and standard deviation of SAR images of ships, as in mmrotate 0.x
    data_preprocessor=dict(mean=[21.55, 21.55, 21.55], std=[24.42, 24.42, 24.42]),
    bbox_head=dict(num_classes=1, bbox_coder=dict(angle_version="le90", edge_swap=True, proj_xy=True)),
)
