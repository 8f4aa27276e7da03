_base_ = "atss_official_r50_fpn_1x_coco.py"

dcnv2 = dict(type="TorchvisionDCNv2", deform_groups=1)
model = dict(
    backbone=dict(dcn=dcnv2, stage_with_dcn=(False, True, True, True)),
    bbox_head=dict(last_conv_cfg=dcnv2),
)
published = [dict(metric="bbox AP, COCO minival", value=43.2, source="official ATSS repository")]
