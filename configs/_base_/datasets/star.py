# STAR, tiles of 1024 x 1024 pixels: `rotated-atss split --preset star_train`, `star_val` and `star_test`.
_base_ = "dota.py"

data_root = "data/star/"
classes = "star"

train_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "train"))
val_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "val"))
test_dataloader = dict(dataset=dict(classes=classes, data_root=data_root + "test"))

val_evaluator = dict(dataset=classes)
test_evaluator = val_evaluator
