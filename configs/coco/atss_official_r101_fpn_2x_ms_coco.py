_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/coco_2x.py",
    "../_base_/datasets/coco_ms.py",
    "../_base_/models/atss_official_r50_fpn.py",
]

model = dict(backbone=dict(depth=101, init_cfg=dict(checkpoint="open-mmlab://detectron/resnet101_caffe")))
published = [dict(metric="bbox AP, COCO minival", value=43.5, source="official ATSS repository")]
