# 72 epochs of SGD with a total batch size of 2 images.
_base_ = "sgd_1x.py"

train_cfg = dict(max_epochs=72)
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=72, by_epoch=True, milestones=[48, 66], gamma=0.1),
]
