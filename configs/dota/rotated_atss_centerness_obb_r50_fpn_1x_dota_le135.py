_base_ = "rotated_atss_centerness_obb_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(
        anchor_generator=dict(angle=1.5707963267948966),  # pi / 2, the angle of square priors in mmrotate 1.x (le135)
        bbox_coder=dict(angle_version="le135", edge_swap=False, norm_factor=1),
    )
)
published = []
