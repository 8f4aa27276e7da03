_base_ = "rotated_atss_obb_r50_fpn_1x_dior_r_le90.py"

model = dict(
    bbox_head=dict(anchor_generator=dict(scales_per_octave=3, ratios=[1.0, 0.5, 2.0])),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type="RotatedMaxIoUAssigner",
            pos_iou_thr=0.5,
            neg_iou_thr=0.4,
            min_pos_iou=0.0,
        )
    ),
)
published = [dict(metric="AP50, DIOR-R test", value=53.94, source="mmrotate 1.x model zoo")]
