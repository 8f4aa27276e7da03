# Multi-scale testing as in the official ATSS repository: a scale of 800 pixels and twelve additional scales, each with
# and without a horizontal flip, merged by soft box voting. An additional scale keeps only boxes whose size is in its
# size_range (square root of the area, in pixels of the resized image). The official DCNv2 ResNeXt-101 64x4d model
# reaches 50.7 AP on COCO test-dev with these settings.
tta_model = dict(type="BoxTTAModel", tta_cfg=dict(merge="vote", iou_threshold=0.66, soft_score=0.05, max_per_img=1000))
tta_pipeline = [
    dict(type="LoadCocoImage"),
    dict(
        type="TestTimeAug",
        transforms=[
            [
                dict(type="ResizeImage", scale=(1333, 800), keep_ratio=True),
                dict(type="ResizeForRange", scale=(1333, 400), keep_ratio=True, size_range=(96, None)),
                dict(type="ResizeForRange", scale=(1333, 500), keep_ratio=True, size_range=(96, None)),
                dict(type="ResizeForRange", scale=(1333, 600), keep_ratio=True, size_range=(64, None)),
                dict(type="ResizeForRange", scale=(1333, 640), keep_ratio=True, size_range=(64, None)),
                dict(type="ResizeForRange", scale=(1333, 700), keep_ratio=True, size_range=(64, None)),
                dict(type="ResizeForRange", scale=(3000, 900), keep_ratio=True, size_range=(None, None)),
                dict(type="ResizeForRange", scale=(3000, 1000), keep_ratio=True, size_range=(None, None)),
                dict(type="ResizeForRange", scale=(3000, 1100), keep_ratio=True, size_range=(None, 256)),
                dict(type="ResizeForRange", scale=(3000, 1200), keep_ratio=True, size_range=(None, 256)),
                dict(type="ResizeForRange", scale=(3000, 1300), keep_ratio=True, size_range=(None, 192)),
                dict(type="ResizeForRange", scale=(3000, 1400), keep_ratio=True, size_range=(None, 192)),
                dict(type="ResizeForRange", scale=(3000, 1800), keep_ratio=True, size_range=(None, 96)),
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
