_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/sgd_1x.py",
    "../_base_/datasets/dota.py",
    "../_base_/models/rotated_atss_r50_fpn.py",
]

model = dict(bbox_head=dict(bbox_coder=dict(angle_version="le90", edge_swap=True, proj_xy=True)))
published = [dict(metric="mAP, DOTA-v1.0 test", value=70.64, source="mmrotate 0.x model zoo")]
