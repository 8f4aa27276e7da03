# R3Det with an ATSS first stage: one square prior per location.
_base_ = "r3det_r50_fpn_1x_dota_oc.py"

model = dict(
    bbox_head_init=dict(anchor_generator=dict(scales_per_octave=1, ratios=[1.0])),
    train_cfg=dict(
        init=dict(
            assigner=dict(_delete_=True, type="RotatedATSSAssigner", topk=9, assign_by_circumhbbox="oc"),
        )
    ),
)
published = [dict(metric="mAP, DOTA-v1.0 test", value=70.54, source="mmrotate 0.x model zoo")]
