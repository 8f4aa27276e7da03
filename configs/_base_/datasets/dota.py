# DOTA tiles of 1024 x 1024 pixels, written by `rotated-atss split` to data/dota_v1.0/{trainval,val,test}.
_base_ = "../tta/tiles.py"

data_root = "data/dota_v1.0/"
classes = "v1.0"

train_pipeline = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="ResizeImage", scale=(1024, 1024), keep_ratio=True),
    dict(type="FlipImage", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackSample"),
]
test_pipeline = [
    dict(type="LoadTile"),
    dict(type="ResizeImage", scale=(1024, 1024), keep_ratio=True),
    dict(type="PackSample", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    dataset=dict(
        type="DOTADataset",
        classes=classes,
        data_root=data_root + "trainval",
        # As in the published runs. Without filter_cfg, tiles without objects train as background.
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="DOTADataset",
        classes=classes,
        data_root=data_root + "val",
        ann_file="",
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = dict(val_dataloader, dataset=dict(val_dataloader["dataset"], data_root=data_root + "test"))

val_evaluator = dict(type="DOTAMetric", dataset="v1.0", iou_threshold=0.1)  # of the NMS that merges tiles
test_evaluator = val_evaluator
