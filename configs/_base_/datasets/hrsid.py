# HRSID (SAR images), images of 800 x 800 pixels kept whole: `rotated-atss split --preset hrsid_train` and `hrsid_test`.
_base_ = "dota.py"

data_root = "data/hrsid/"
classes = "hrsid"
scale = (800, 800)

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
                dict(type="ResizeImage", scale=(800, 800), keep_ratio=True),
                dict(type="ResizeImage", scale=(600, 600), keep_ratio=True),
                dict(type="ResizeImage", scale=(1000, 1000), keep_ratio=True),
            ],
            _base_.tta_flips,
            [_base_.tta_pack],
        ],
    ),
]

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "train", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
