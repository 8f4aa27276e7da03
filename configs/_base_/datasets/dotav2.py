# DOTA-v2.0 (three classes more than v1.0), split by `rotated-atss split --preset dota_v2.0_ss_trainval` and
# `dota_v2.0_ss_test`. Evaluation counts difficult objects like all others; in v1.0 it ignores them.
_base_ = "dota.py"

data_root = "data/dota_v2.0/"
classes = "v2.0"

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "trainval"))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val"))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test"))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
