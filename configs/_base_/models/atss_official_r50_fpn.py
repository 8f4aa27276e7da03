# The official ATSS model, for the weights published by its authors (convert them with `rotated-atss
# convert-checkpoint`). Input is BGR minus mean; the stride of a stage is in its first 1x1 convolution (style="caffe");
# batch norm is frozen, with a negligible epsilon.
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
        # stride / 2 + 0.5: see rotated_atss.detection.heads.official_atss_head
        anchor_generator=dict(centers=[(4.5, 4.5), (8.5, 8.5), (16.5, 16.5), (32.5, 32.5), (64.5, 64.5)]),
    ),
    train_cfg=dict(assigner=dict(center_margin=0.51)),  # 0.01 px between the centers of the outer pixels
)
