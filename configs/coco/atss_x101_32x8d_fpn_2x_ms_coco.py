_base_ = "atss_r101_fpn_2x_ms_coco.py"

model = dict(
    # The backbone was trained in Caffe2: BGR input, frozen batch norm.
    data_preprocessor=dict(mean=[103.53, 116.28, 123.675], std=[57.375, 57.12, 58.395], bgr_to_rgb=False),
    backbone=dict(
        type="ResNeXt",
        groups=32,
        base_width=8,
        norm_cfg=dict(requires_grad=False),
        init_cfg=dict(checkpoint="open-mmlab://detectron2/resnext101_32x8d"),
    ),
)
published = [dict(metric="bbox AP, COCO minival", value=44.8, source="official ATSS repository")]
