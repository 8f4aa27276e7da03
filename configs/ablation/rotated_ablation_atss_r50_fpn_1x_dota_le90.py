# The ATSS paper's comparison on oriented boxes (arXiv 1912.02424, tables 2 to 7): one thing changed at a time, by
# --cfg-options or by a leaf beside this one.
#   how positives are chosen  model.train_cfg.assigner.strategy=atss|ssc|iou|topk|center_sampling
#   k                         model.train_cfg.assigner.topk=9
#   anchor scale              model.bbox_head.anchor_generator.octave_base_scale=4
#   anchor ratio (h / w)      model.bbox_head.anchor_generator.ratios=[1.0]
#   anchors a location        ..anchor_generator.scales_per_octave=3 with three ratios are 9
_base_ = "../dota/rotated_atss_centerness_obb_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(anchor_generator=dict(angle=0.0)),  # so that ratios are those seen on the image
    train_cfg=dict(assigner=dict(_delete_=True, type="SelectionAssigner", strategy="atss", topk=9)),
)
