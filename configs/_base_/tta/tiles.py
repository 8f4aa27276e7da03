# Test-time augmentation of oriented models on tiles (`rotated-atss test ... --tta`): three scales, each with four flips
# (none, horizontal, vertical, diagonal). Box voting merges the detections of the twelve passes on a tile, before tiles
# are merged into images. Voting localizes better than NMS; for NMS, add
#   --cfg-options tta_model.tta_cfg.merge=nms tta_model.tta_cfg.iou_threshold=0.1
tta_model = dict(type="BoxTTAModel", tta_cfg=dict(merge="vote", iou_threshold=0.5, max_per_img=2000))
tta_flips = [
    dict(type="FlipImage", prob=0.0),
    dict(type="FlipImage", prob=1.0, direction="horizontal"),
    dict(type="FlipImage", prob=1.0, direction="vertical"),
    dict(type="FlipImage", prob=1.0, direction="diagonal"),
]
tta_pack = dict(
    type="PackSample",
    meta_keys=(
        *("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
        *("flip", "flip_direction", "quarter_turns", "size_range"),
    ),
)
tta_pipeline = [
    dict(type="LoadTile"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="ResizeImage", scale=(1024, 1024), keep_ratio=True),
                dict(type="ResizeImage", scale=(768, 768), keep_ratio=True),
                dict(type="ResizeImage", scale=(1280, 1280), keep_ratio=True),
            ],
            tta_flips,
            [tta_pack],
        ],
    ),
]
