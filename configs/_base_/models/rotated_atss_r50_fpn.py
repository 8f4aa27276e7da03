# Rotated ATSS as in mmrotate's published DOTA models: RetinaNet head without centerness, one square prior per location,
# L1 loss on deltas.
_base_ = "r50_fpn.py"

model = dict(
    type="RetinaNet",
    neck=dict(add_extra_convs="on_input"),
    bbox_head=dict(
        type="RotatedRetinaHead",
        num_classes=15,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        anchor_generator=dict(
            type="OrientedAnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=1,
            ratios=[1.0],
            strides=[8, 16, 32, 64, 128],
            angle=0.0,
        ),
        bbox_coder=dict(type="OrientedDeltaCoder", angle_version="le90"),
        loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
    ),
    train_cfg=dict(assigner=dict(type="RotatedATSSAssigner", topk=9)),
    test_cfg=dict(nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=2000),
)
