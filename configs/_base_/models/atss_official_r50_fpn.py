# ATSS as its authors' own code has it, for the weights they published (`rotated-atss convert-checkpoint` makes them
# ours). Pixels are BGR minus mean; the stride of a stage is in its first 1x1 convolution; batch norm is frozen and adds
# nothing to the variance.
_base_ = "atss_r50_fpn.py"

model = dict(
    data_preprocessor=dict(mean=[102.9801, 115.9465, 122.7717], std=[1.0, 1.0, 1.0], bgr_to_rgb=False),
    backbone=dict(
        style="caffe",
        norm_cfg=dict(requires_grad=False, eps=1e-30),
        init_cfg=dict(checkpoint="open-mmlab://detectron/resnet50_caffe"),
    ),
    neck=dict(relu_before_extra_convs=True),
    bbox_head=dict(
        type="OfficialATSSHead",
        # half a pixel beyond stride / 2: see rotated_atss.detection.heads.official_atss_head
        anchor_generator=dict(centers=[(4.5, 4.5), (8.5, 8.5), (16.5, 16.5), (32.5, 32.5), (64.5, 64.5)]),
    ),
)
