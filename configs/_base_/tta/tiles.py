# Test-time augmentation of oriented models on tiles, for `rotated-atss test ... --tta`: three scales, each as it is and
# flipped three ways. A tile's twelve passes are merged before tiles are merged into images: by voting, which places
# boxes more exactly than picking the best (tta_model.tta_cfg.merge=nms tta_model.tta_cfg.iou_threshold=0.1 does that).
tta_model = dict(type="BoxTTAModel", tta_cfg=dict(merge="vote", iou_threshold=0.5, max_per_img=2000))
tta_flips = [
    dict(type="RandomFlip", prob=0.0),
    dict(type="RandomFlip", prob=1.0, direction="horizontal"),
    dict(type="RandomFlip", prob=1.0, direction="vertical"),
    dict(type="RandomFlip", prob=1.0, direction="diagonal"),
]
tta_pack = dict(
    type="PackDetInputs",
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
            [dict(type="Resize", scale=(side, side), keep_ratio=True) for side in (1024, 768, 1280)],
            tta_flips,
            [tta_pack],
        ],
    ),
]
