# Ablations of the ATSS paper on oriented boxes (arXiv:1912.02424, tables 2 to 7). Change one setting at a time, with
# --cfg-options or in a config that inherits this one:
#   strategy              model.train_cfg.assigner.strategy=atss|ssc|iou|topk|center_sampling
#   topk                  model.train_cfg.assigner.topk=9
#   anchor scale          model.bbox_head.anchor_generator.octave_base_scale=4
#   anchor ratio (h / w)  model.bbox_head.anchor_generator.ratios=[1.0]
#   anchors per location  model.bbox_head.anchor_generator.scales_per_octave=3 (with three ratios: 9 anchors)
_base_ = "../dota/rotated_atss_centerness_obb_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(anchor_generator=dict(angle=0.0)),  # ratios then refer to the image axes
    train_cfg=dict(assigner=dict(_delete_=True, type="SelectionAssigner", strategy="atss", topk=9)),
)
