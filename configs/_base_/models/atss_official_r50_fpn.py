# The official ATSS model, for the weights published by its authors (convert them with `rotated-atss
# convert-checkpoint`). The input is BGR minus the mean. The first 1x1 convolution of a stage has the stride
# (style="caffe"). Batch norm is frozen; eps is negligible because the official code adds none to the variance.
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
        # stride / 2 + 0.5, explained in rotated_atss.detection.heads.official_atss_head
        anchor_generator=dict(centers=[(4.5, 4.5), (8.5, 8.5), (16.5, 16.5), (32.5, 32.5), (64.5, 64.5)]),
    ),
    # The official code measures from the centers of a box's border pixels, which are 0.5 px inside the box. From there,
    # it requires another 0.01 px.
    train_cfg=dict(assigner=dict(center_margin=0.51)),
)
