_base_ = "rotated_retinanet_obb_r50_fpn_1x_dota_le90.py"

model = dict(bbox_head=dict(bbox_coder=dict(angle_version="le135", edge_swap=False, norm_factor=1)))
published = [dict(metric="mAP, DOTA-v1.0 test", value=69.79, source="mmrotate 0.x model zoo")]
