# FAIR1M 1.0 has the classes of 2.0, but no validation set: `rotated-atss split --preset fair1m_v1.0_train` and
# `fair1m_v1.0_test`. To validate, split held-out images into data/fair1m_v1.0/val.
_base_ = "rotated_atss_obb_r50_fpn_1x_fair1m_v2_le90.py"

train_dataloader = dict(dataset=dict(data_root="data/fair1m_v1.0/train"))
val_dataloader = dict(dataset=dict(data_root="data/fair1m_v1.0/val"))
test_dataloader = dict(dataset=dict(data_root="data/fair1m_v1.0/test"))
