# Ablations of the ATSS paper on horizontal boxes. The options are those of rotated_ablation_atss_r50_fpn_1x_dota_le90.
_base_ = "../coco/atss_r50_fpn_1x_coco.py"

model = dict(
    train_cfg=dict(
        assigner=dict(_delete_=True, type="SelectionAssigner", strategy="atss", topk=9, ignore_iof_threshold=-1)
    )
)
