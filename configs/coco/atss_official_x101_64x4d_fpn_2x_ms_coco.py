_base_ = "atss_official_r101_fpn_2x_ms_coco.py"

# The ImageNet weights of the backbone are not published. Use this config with the published detector weights.
model = dict(backbone=dict(type="ResNeXt", groups=64, base_width=4, style="pytorch", init_cfg=None))
published = [dict(metric="bbox AP, COCO minival", value=45.5, source="official ATSS repository")]
