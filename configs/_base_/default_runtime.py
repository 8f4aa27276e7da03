# This import registers the models, datasets, metrics and hooks of rotated-atss.
custom_imports = dict(imports=["rotated_atss.detection"], allow_failed_imports=False)
default_scope = "rotated_atss.detection"

default_hooks = dict(
    timer=dict(type="IterTimerHook"),
    logger=dict(type="LoggerHook", interval=50),
    param_scheduler=dict(type="ParamSchedulerHook"),
    checkpoint=dict(type="BoundedCheckpointHook", interval=1, max_keep_ckpts=3),
    sampler_seed=dict(type="DistSamplerSeedHook"),
)
custom_hooks = [dict(type="NonFiniteLossHook"), dict(type="ChannelsLastHook")]
env_cfg = dict(
    cudnn_benchmark=False, mp_cfg=dict(mp_start_method="fork", opencv_num_threads=0), dist_cfg=dict(backend="nccl")
)
vis_backends = [dict(type="LocalVisBackend"), dict(type="TensorboardVisBackend")]
visualizer = dict(type="DetLocalVisualizer", vis_backends=vis_backends, name="visualizer")
log_processor = dict(
    type="LogProcessor", window_size=50, by_epoch=True, mean_pattern=r".*(loss|time|data_time|grad_norm|num_pos).*"
)
log_level = "INFO"
load_from = None
resume = False
