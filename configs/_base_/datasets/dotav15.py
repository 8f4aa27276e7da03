# DOTA-v1.5 (one class more than v1.0: container-crane), split by `rotated-atss split --preset dota_v1.5_ss_trainval`
# and `dota_v1.5_ss_test`. Evaluation counts difficult objects like all others; in v1.0 it ignores them.
_base_ = "dota.py"

data_root = "data/dota_v1.5/"
classes = "v1.5"

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "trainval"))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val"))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test"))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
