# Demo: a small detector, trained from scratch on tiles of synthetic scenes (256 x 256 pixels) in a few minutes on two
# CPU cores.
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/dota.py",
    "../_base_/models/rotated_atss_r50_fpn.py",
]

data_root = "demo_out/tiles/"
iterations = 750
classes = _base_.classes

model = dict(
    backbone=dict(
        depth=18,
        frozen_stages=-1,
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=64),
    bbox_head=dict(
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        norm_cfg=dict(type="GN", num_groups=16, requires_grad=True),
        bbox_coder=dict(edge_swap=True, proj_xy=True),
        # In training from scratch, the IoU loss on boxes converges faster than the L1 loss on deltas.
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type="RotatedIoULoss", loss_weight=2.0),
    ),
)

train_pipeline = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="FlipImage", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackSample"),
]
test_pipeline = [
    dict(type="LoadTile"),
    dict(type="ResizeImage", scale_factor=1.0),  # no resizing: only sets the meta key scale_factor
    dict(type="PackSample", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
tta_pipeline = [
    dict(type="LoadTile"),
    dict(
        type="TestTimeAug",
        transforms=[[dict(type="ResizeImage", scale_factor=1.0)], _base_.tta_flips, [_base_.tta_pack]],
    ),
]
train_dataloader = dict(
    batch_size=8,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(data_root=data_root + "train", filter_cfg=dict(_delete_=True), pipeline=train_pipeline),
)
test_dataloader = dict(batch_size=8, dataset=dict(data_root=data_root + "val", pipeline=test_pipeline))

train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
val_dataloader = val_cfg = val_evaluator = None  # the demo evaluates after training
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.002, weight_decay=0.05),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [dict(type="OneCycleLR", eta_max=0.002, total_steps=iterations, pct_start=0.1, by_epoch=False)]

default_hooks = dict(checkpoint=dict(interval=iterations, by_epoch=False), logger=dict(interval=50))
log_processor = dict(by_epoch=False)
