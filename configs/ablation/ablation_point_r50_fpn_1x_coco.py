_base_ = "ablation_atss_r50_fpn_1x_coco.py"

model = dict(bbox_head=dict(bbox_coder=dict(_delete_=True, type="PointDistanceCoder", anchor_scale=8, mean=4.0)))
