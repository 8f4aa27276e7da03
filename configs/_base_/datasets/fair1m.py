# FAIR1M 2.0, tiles of 1024 x 1024 pixels: `rotated-atss split --preset fair1m_v2.0_trainval` and `fair1m_v2.0_test`.
_base_ = "dota.py"

data_root = "data/fair1m_v2.0/"
classes = "fair1m"

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "trainval"))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val"))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test"))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
