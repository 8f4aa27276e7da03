# Rotated ATSS with the head of the ATSS paper: GroupNorm towers, centerness, rotated IoU loss.
_base_ = "rotated_atss_obb_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(
        type="RotatedATSSHead",
        anchor_generator=dict(angle=-1.5707963267948966),  # -pi / 2, the angle of square priors in mmrotate 1.x (le90)
        reg_decoded_bbox=True,
        loss_bbox=dict(_delete_=True, type="RotatedIoULoss", mode="linear", loss_weight=2.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
    )
)
published = [
    dict(metric="mAP, DOTA-v1.0 test", value=73.1, source="mmrotate pull request 551, linear rotated IoU loss"),
]
