_base_ = ["rotated_atss_centerness_obb_r50_fpn_1x_dota_le90.py", "../_base_/datasets/dota_ms_rr.py"]

train_dataloader = dict(dataset=_base_.ms_rr.train)
val_dataloader = dict(dataset=_base_.ms_rr.val)
test_dataloader = dict(dataset=_base_.ms_rr.test)
published = []  # no published result
