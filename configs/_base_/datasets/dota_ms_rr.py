# Multi-scale tiles (MS) and random rotation (RR), as in mmrotate's *_ms_rr_* configs: `rotated-atss split --preset
# dota_v1.0_ms_trainval` and `dota_v1.0_ms_test`. To validate on held-out images, split only the train images into
# data/dota_v1.0_ms/trainval, and the val images into data/dota_v1.0_ms/val.
# Configs that inherit this file apply `ms_rr` to their dataloaders. This file cannot do so, because MMEngine refuses
# two base configs that define the same dataloader.
ms_rr = dict(
    train=dict(
        data_root="data/dota_v1.0_ms/trainval",
        pipeline=[
            dict(type="LoadTile"),
            dict(type="LoadBoxes"),
            dict(type="ResizeImage", scale=(1024, 1024), keep_ratio=True),
            dict(type="FlipImage", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            # Storage tanks (9) and roundabouts (11) are annotated with axis-aligned squares.
            dict(type="RandomRotation", prob=0.5, angle_range=180, min_side=5, quarter_turn_classes=[9, 11]),
            dict(type="PackSample"),
        ],
    ),
    val=dict(data_root="data/dota_v1.0_ms/val"),
    test=dict(data_root="data/dota_v1.0_ms/test"),
)
