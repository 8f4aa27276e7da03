# COCO 2017 in data/coco: annotations/, train2017/, val2017/.
_base_ = "../tta/coco_ms.py"

data_root = "data/coco/"

train_pipeline = [
    dict(type="LoadCocoImage"),
    dict(type="LoadBoxes", box_type="hbox"),
    dict(type="ResizeImage", scale=(1333, 800), keep_ratio=True),
    dict(type="FlipImage", prob=0.5),
    dict(type="PackSample"),
]
test_pipeline = [
    dict(type="LoadCocoImage"),
    dict(type="ResizeImage", scale=(1333, 800), keep_ratio=True),
    dict(type="PackSample", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=True),
    batch_sampler=dict(type="AspectRatioBatchSampler"),
    dataset=dict(
        type="CocoInstancesDataset",
        data_root=data_root,
        ann_file="annotations/instances_train2017.json",
        data_prefix=dict(img="train2017/"),
        # As in the published runs. Without filter_cfg, images without objects train as background.
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type="DefaultSampler", shuffle=False),
    dataset=dict(
        type="CocoInstancesDataset",
        data_root=data_root,
        ann_file="annotations/instances_val2017.json",
        data_prefix=dict(img="val2017/"),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type="CocoBoxMetric")
test_evaluator = val_evaluator
