_base_ = "atss_official_x101_32x8d_fpn_2x_ms_coco.py"

dcnv2 = dict(type="TorchvisionDCNv2", deform_groups=1)
model = dict(
    backbone=dict(dcn=dcnv2, stage_with_dcn=(False, False, True, True)),
    bbox_head=dict(last_conv_cfg=dcnv2),
)
published = [dict(metric="bbox AP, COCO minival", value=47.7, source="official ATSS repository")]
