_base_ = [
    "../_base_/default_runtime.py",
    "../_base_/schedules/coco_1x.py",
    "../_base_/datasets/coco.py",
    "../_base_/models/atss_official_r50_fpn.py",
]

published = [dict(metric="bbox AP, COCO minival", value=39.3, source="official ATSS repository")]
