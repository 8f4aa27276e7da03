# 12 epochs of SGD with a total batch size of 2 images. For another batch size, the learning rate is scaled linearly,
# and the change is logged.
train_cfg = dict(type="EpochBasedTrainLoop", max_epochs=12, val_interval=12)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
param_scheduler = [
    dict(type="LinearLR", start_factor=1 / 3, by_epoch=False, begin=0, end=500),
    dict(type="MultiStepLR", begin=0, end=12, by_epoch=True, milestones=[8, 11], gamma=0.1),
]
optim_wrapper = dict(
    type="OptimWrapper",
    optimizer=dict(type="SGD", lr=0.0025, momentum=0.9, weight_decay=0.0001, fused=True),
    clip_grad=dict(max_norm=35, norm_type=2),
)
auto_scale_lr = dict(enable=True, base_batch_size=2)
