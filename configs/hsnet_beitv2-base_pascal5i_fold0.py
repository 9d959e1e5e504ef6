_base_ = [
    '_base_/models/hsnet_beitv2-base.py',
    '_base_/datasets/pascal5i_fold0.py',
    '_base_/schedules/adam_350e.py',
    '_base_/default_runtime.py',
]

# the only size that BEiT takes
pipeline = [
    dict(
        type='ForEachImage',
        transforms=[
            dict(
                type='LoadImageFromFile',
                imdecode_backend='pillow',
                color_type='color_ignore_orientation'),
            dict(type='LoadFewShotMask'),
            dict(type='ResizeFewShot', scale=(224, 224))
        ]),
    dict(type='PackFewShotInputs')
]
train_dataloader = dict(dataset=dict(pipeline=pipeline))
val_dataloader = dict(dataset=dict(pipeline=pipeline))
test_dataloader = val_dataloader
