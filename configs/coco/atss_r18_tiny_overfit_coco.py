# Overfitting test: a small detector trained and tested on the same few dozen images, on two CPU cores. Its AP does not
# measure generalization. On 32 COCO images with 284 objects it reaches AP50 0.70 (AP 0.31 small, 0.88 medium, 0.91
# large) after 7 minutes of CPU time.
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/datasets/coco.py",
    "../_base_/models/atss_r50_fpn.py",
]

iterations = 1000

model = dict(
    backbone=dict(depth=18, base_channels=32, stem_channels=32, frozen_stages=-1, norm_eval=False, init_cfg=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    bbox_head=dict(
        in_channels=64, feat_channels=64, stacked_convs=2, norm_cfg=dict(type="GN", num_groups=16, requires_grad=True)
    ),
)

train_pipeline = [
    dict(type="LoadCocoImage"),
    dict(type="LoadBoxes", box_type="hbox"),
    dict(type="ResizeImage", scale=(384, 288), keep_ratio=True),
    dict(type="PackSample"),
]
test_pipeline = [
    dict(type="LoadCocoImage"),
    dict(type="ResizeImage", scale=(384, 288), keep_ratio=True),
    dict(type="PackSample", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
train_dataloader = dict(
    batch_size=4,
    sampler=dict(type="InfiniteSampler", shuffle=True),
    dataset=dict(
        # The tiny set has its images in images/train2017/. Images without objects train as background.
        data_prefix=dict(img="images/train2017/"),
        filter_cfg=dict(_delete_=True),
        pipeline=train_pipeline,
    ),
)
test_dataloader = dict(
    batch_size=8,
    dataset=dict(
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="images/train2017/"),
        pipeline=test_pipeline,
    ),
)

train_cfg = dict(type="IterBasedTrainLoop", max_iters=iterations)
val_dataloader = val_cfg = val_evaluator = None
test_cfg = dict(type="TestLoop")
optim_wrapper = dict(
    type="BFloat16OptimWrapper",
    optimizer=dict(type="AdamW", lr=0.002, weight_decay=0.05),
    clip_grad=dict(max_norm=35, norm_type=2),
)
param_scheduler = [dict(type="OneCycleLR", eta_max=0.002, total_steps=iterations, pct_start=0.1, by_epoch=False)]

default_hooks = dict(checkpoint=dict(interval=iterations, by_epoch=False), logger=dict(interval=20))
log_processor = dict(by_epoch=False)
