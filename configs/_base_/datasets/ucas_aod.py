# UCAS-AOD, images kept whole: `rotated-atss split --preset ucas_aod_train`, `ucas_aod_val` and `ucas_aod_test`.
_base_ = "dota.py"

data_root = "data/ucas_aod/"
classes = "ucas-aod"
scale = (1333, 800)

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
                dict(type="ResizeImage", scale=(1333, 800), keep_ratio=True),
                dict(type="ResizeImage", scale=(999, 600), keep_ratio=True),
                dict(type="ResizeImage", scale=(1666, 1000), keep_ratio=True),
            ],
            _base_.tta_flips,
            [_base_.tta_pack],
        ],
    ),
]

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "train", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val", pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
