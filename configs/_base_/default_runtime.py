default_scope = 'mmfss'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='SafeCheckpointHook',
        interval=1,
        max_keep_ckpts=2,
        save_best='mIoU',
        rule='greater',
        save_backbone=True),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='FewShotVisualizationHook'))
custom_hooks = [
    dict(type='EpisodeInfoHook'),
    dict(type='ReportHook'),
    dict(type='FeatureCacheHook')
]

env_cfg = dict(
    # trying algorithms out takes 15 s and gigabytes, and finds no faster ones
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'))

vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(
    type='FewShotVisualizer', vis_backends=vis_backends, name='visualizer')
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)
log_level = 'INFO'

# of the weights; the episodes have their own, train_dataloader.dataset.seed
randomness = dict(seed=0)
load_from = None
resume = False
