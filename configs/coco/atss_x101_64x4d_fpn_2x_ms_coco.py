_base_ = "atss_r101_fpn_2x_ms_coco.py"

model = dict(
    backbone=dict(
        type="ResNeXt",
        groups=64,
        base_width=4,
        init_cfg=dict(checkpoint="open-mmlab://resnext101_64x4d"),
    ),
)
published = [dict(metric="bbox AP, COCO minival", value=45.5, source="official ATSS repository")]
