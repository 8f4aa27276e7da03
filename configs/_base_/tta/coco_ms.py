# Multi-scale testing of the official ATSS repository: a pass at 800 pixels and twelve further scales, each with and
# without a horizontal flip, merged by soft box voting. The further scales keep only boxes in their size range (square
# root of the area, in pixels of the resized image). The official DCNv2 ResNeXt-101 64x4d model reaches 50.7 AP on COCO
# test-dev with this setting.
tta_model = dict(type="BoxTTAModel", tta_cfg=dict(merge="vote", iou_threshold=0.66, soft_score=0.05, max_per_img=1000))
tta_pipeline = [
    dict(type="LoadCocoImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [dict(type="ResizeImage", scale=(1333, 800), keep_ratio=True)]
            + [
                dict(
                    type="ResizeForRange",
                    scale=(1333 if short_side < 800 else 3000, short_side),
                    keep_ratio=True,
                    size_range=size_range,
                )
                for short_side, size_range in (
                    (400, (96, None)),
                    (500, (96, None)),
                    (600, (64, None)),
                    (640, (64, None)),
                    (700, (64, None)),
                    (900, (None, None)),
                    (1000, (None, None)),
                    (1100, (None, 256)),
                    (1200, (None, 256)),
                    (1300, (None, 192)),
                    (1400, (None, 192)),
                    (1800, (None, 96)),
                )
            ],
            [
                dict(type="FlipImage", prob=0.0),
                dict(type="FlipImage", prob=1.0),
            ],
            [
                dict(
                    type="PackSample",
                    meta_keys=(
                        *("img_id", "img_path", "ori_shape", "img_shape", "scale_factor"),
                        *("flip", "flip_direction", "size_range"),
                    ),
                )
            ],
        ],
    ),
]
