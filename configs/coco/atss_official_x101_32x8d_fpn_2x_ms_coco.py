_base_ = "atss_official_r101_fpn_2x_ms_coco.py"

# The ImageNet weights of the backbone are not published. Use this config with the published detector weights.
model = dict(backbone=dict(type="ResNeXt", groups=32, base_width=8, style="pytorch", init_cfg=None))
published = [dict(metric="bbox AP, COCO minival", value=44.8, source="official ATSS repository")]
