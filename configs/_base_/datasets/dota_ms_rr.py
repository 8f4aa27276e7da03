# Tiles at three scales (MS) and random rotation (RR), as mmrotate's *_ms_rr_* configs, below data/dota_ms:
#   rotated-atss split --images DOTA/train/images DOTA/val/images --labels DOTA/train/labelTxt DOTA/val/labelTxt \
#       --out data/dota_ms/trainval --gap 500 --rates 0.5 1.0 1.5
#   rotated-atss split --images DOTA/test/images --out data/dota_ms/test --gap 500 --rates 0.5 1.0 1.5
# and, to validate on what was not trained on, DOTA/train to data/dota_ms/trainval and DOTA/val to data/dota_ms/val.
# A leaf takes these in place of what it inherits: MMEngine refuses two bases that both name a dataloader.
ms_rr = dict(
    train=dict(
        data_root="data/dota_ms/trainval",
        pipeline=[
            dict(type="LoadTile"),
            dict(type="LoadAnnotations", with_bbox=True, box_type="obb"),
            dict(type="Resize", scale=(1024, 1024), keep_ratio=True),
            dict(type="RandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            # storage tanks and roundabouts are labelled with horizontal squares
            dict(type="RandomRotation", prob=0.5, angle_range=180, min_side=5, quarter_turn_classes=[9, 11]),
            dict(type="PackDetInputs"),
        ],
    ),
    val=dict(data_root="data/dota_ms/val"),
    test=dict(data_root="data/dota_ms/test"),
)
