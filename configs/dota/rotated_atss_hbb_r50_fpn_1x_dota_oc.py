_base_ = "rotated_atss_obb_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(bbox_coder=dict(angle_version="oc", edge_swap=False, proj_xy=False)),
    train_cfg=dict(assigner=dict(assign_by_circumhbbox="oc")),
)
train_pipeline = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="ResizeImage", scale=(1024, 1024), keep_ratio=True),
    dict(type="FlipImage", prob=0.5, direction="horizontal"),
    dict(type="PackSample"),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
published = [dict(metric="mAP, DOTA-v1.0 test", value=65.59, source="mmrotate 0.x model zoo")]
