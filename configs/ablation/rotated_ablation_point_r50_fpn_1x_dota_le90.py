# Regression from prior centers instead of prior boxes. Distances are in strides, so the coder needs the anchor scale.
_base_ = "rotated_ablation_atss_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(
        bbox_coder=dict(
            _delete_=True, type="PointDistanceCoder", angle_version="le90", edge_swap=True, anchor_scale=4, mean=2.0
        )
    )
)
