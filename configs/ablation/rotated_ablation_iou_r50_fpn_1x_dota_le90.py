_base_ = "rotated_ablation_atss_r50_fpn_1x_dota_le90.py"

model = dict(train_cfg=dict(assigner=dict(strategy="iou")))
