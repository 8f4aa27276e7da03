# Regression of distances from the prior centers instead of deltas to the priors. Distances are in strides. The coder
# computes the stride from a prior, so it needs the anchor scale. A prediction of 0 decodes to the distance `mean`, here
# half the side of a prior.
_base_ = "rotated_ablation_atss_r50_fpn_1x_dota_le90.py"

model = dict(
    bbox_head=dict(
        bbox_coder=dict(
            _delete_=True, type="PointDistanceCoder", angle_version="le90", edge_swap=True, anchor_scale=4, mean=2.0
        )
    )
)
