# R3Det: a RetinaNet head, feature refinement, and a refinement head. Label assignment compares circumscribed horizontal
# boxes for the first head, and oriented boxes for the refinement head.
_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/sgd_1x.py",
    "../_base_/datasets/dota.py",
    "../_base_/models/r50_fpn.py",
]

strides = [8, 16, 32, 64, 128]
head = dict(
    num_classes=15,
    in_channels=256,
    feat_channels=256,
    stacked_convs=4,
    bbox_coder=dict(type="OrientedDeltaCoder", angle_version="oc"),
    loss_cls=dict(type="SigmoidFocalLoss", use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
    loss_bbox=dict(type="SmoothL1Loss", beta=0.11, loss_weight=1.0),
)
model = dict(
    type="R3Det",
    neck=dict(add_extra_convs="on_input"),
    bbox_head_init=dict(
        type="RotatedRetinaHead",
        anchor_generator=dict(
            type="OrientedAnchorGenerator",
            octave_base_scale=4,
            scales_per_octave=3,
            ratios=[1.0, 0.5, 2.0],
            strides=strides,
            angle=0.0,
        ),
        **head,
    ),
    bbox_head_refine=[
        dict(
            type="RotatedRefineHead",
            frm_cfg=dict(type="FeatureRefinement", feat_channels=256, strides=strides),
            anchor_generator=dict(type="PriorGrid", strides=strides),
            **head,
        )
    ],
    train_cfg=dict(
        init=dict(
            assigner=dict(
                type="RotatedMaxIoUAssigner",
                pos_iou_thr=0.5,
                neg_iou_thr=0.4,
                min_pos_iou=0.0,
                assign_by_circumhbbox="oc",
            )
        ),
        refine=[dict(assigner=dict(type="RotatedMaxIoUAssigner", pos_iou_thr=0.6, neg_iou_thr=0.5, min_pos_iou=0.0))],
        stage_loss_weights=[1.0],
    ),
    test_cfg=dict(nms_pre=2000, min_bbox_size=0, score_thr=0.05, nms=dict(iou_threshold=0.1), max_per_img=2000),
)
published = [dict(metric="mAP, DOTA-v1.0 test", value=69.80, source="mmrotate 0.x model zoo")]
