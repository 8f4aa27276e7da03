# SODA-A, tiles of 800 x 800 pixels, scaled to 1200 x 1200: `rotated-atss split --preset soda_a_train`, `soda_a_val` and
# `soda_a_test`. The NMS that merges tiles has the IoU threshold of the official evaluation, 0.5.
_base_ = "dota.py"

data_root = "data/soda_a/"
classes = "soda-a"
scale = (1200, 1200)

train_pipeline = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="ResizeImage", scale=scale, keep_ratio=True),
    dict(type="FlipImage", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="PackSample"),
]
test_pipeline = [
    dict(type="LoadTile"),
    dict(type="ResizeImage", scale=scale, keep_ratio=True),
    dict(type="PackSample", meta_keys=("img_id", "img_path", "ori_shape", "img_shape", "scale_factor")),
]
tta_pipeline = [
    dict(type="LoadTile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="ResizeImage", scale=(1200, 1200), keep_ratio=True),
                dict(type="ResizeImage", scale=(900, 900), keep_ratio=True),
                dict(type="ResizeImage", scale=(1500, 1500), keep_ratio=True),
            ],
            _base_.tta_flips,
            [_base_.tta_pack],
        ],
    ),
]

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "train", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val", pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))

val_evaluator = dict(dataset=classes, iou_threshold=0.5)
test_evaluator = val_evaluator
