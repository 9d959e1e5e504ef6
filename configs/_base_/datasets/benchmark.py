# What the benchmarks share; those that inherit this say which dataset
pipeline = [
    dict(
        type='ForEachImage',
        transforms=[
            dict(
                type='LoadImageFromFile',
                imdecode_backend='pillow',
                color_type='color_ignore_orientation'),
            dict(type='LoadFewShotMask'),
            dict(type='ResizeFewShot', scale=(400, 400))
        ]),
    dict(type='PackFewShotInputs')
]

train_dataloader = dict(
    batch_size=20,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='EpisodeSampler'),
    dataset=dict(
        split_dir=None,  # None: the benchmark's lists
        shot=1,
        seed=0,
        pipeline=pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        split_dir=None,
        shot=1,  # and protocol='hsnet', the default; a config may name another
        test_mode=True,
        pipeline=pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='FewShotIoU')
test_evaluator = val_evaluator
