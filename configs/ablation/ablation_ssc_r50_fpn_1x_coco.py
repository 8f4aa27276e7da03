_base_ = "ablation_atss_r50_fpn_1x_coco.py"

model = dict(train_cfg=dict(assigner=dict(strategy="ssc")))
