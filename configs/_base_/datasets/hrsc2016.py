# HRSC2016, images kept whole: `rotated-atss split --preset hrsc2016_trainval` and `hrsc2016_test`. One class, `ship`.
_base_ = "dota.py"

data_root = "data/hrsc2016/"
classes = "hrsc2016"
scale = (800, 512)

train_pipeline = [
    dict(type="LoadTile"),
    dict(type="LoadBoxes"),
    dict(type="ResizeImage", scale=scale, keep_ratio=True),
    dict(type="FlipImage", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
    dict(type="RandomRotation", prob=0.5, angle_range=180, min_side=5),
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
                dict(type="ResizeImage", scale=(800, 512), keep_ratio=True),
                dict(type="ResizeImage", scale=(600, 384), keep_ratio=True),
                dict(type="ResizeImage", scale=(1000, 640), keep_ratio=True),
            ],
            _base_.tta_flips,
            [_base_.tta_pack],
        ],
    ),
]

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "trainval", pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test", pipeline=test_pipeline))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
