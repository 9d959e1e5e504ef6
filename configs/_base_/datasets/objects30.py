# 155 photos of 30 subjects, bundled with mmfss (demo/data/objects30)
dataset_type = 'FolderDataset'
data_root = '{{ fileDirname }}/../../../demo/data/objects30'
train_classes = [
    'backpack', 'backpack_dog', 'bear_plushie', 'colorful_sneaker', 'dog',
    'dog2', 'dog3', 'dog5', 'dog6', 'dog7', 'dog8', 'duck_toy',
    'grey_sloth_plushie', 'monster_toy', 'poop_emoji', 'rc_car', 'red_cartoon',
    'robot_toy', 'shiny_sneaker', 'wolf_plushie'
]
test_classes = [
    'berry_bowl', 'can', 'candle', 'cat', 'cat2', 'clock', 'fancy_boot',
    'pink_sunglasses', 'teapot', 'vase'
]

pipeline = [
    dict(
        type='ForEachImage',
        transforms=[
            dict(
                type='LoadImageFromFile',
                imdecode_backend='pillow',
                color_type='color_ignore_orientation'),
            dict(type='LoadFewShotMask'),
            dict(type='ResizeFewShot', scale=(256, 256))
        ]),
    dict(type='PackFewShotInputs')
]

train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='EpisodeSampler'),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=dict(classes=train_classes),
        shot=1,
        seed=0,
        pipeline=pipeline))
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        metainfo=dict(classes=test_classes),
        shot=1,
        protocol=dict(name='objects30', num_episodes=200),
        test_mode=True,
        pipeline=pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='FewShotIoU')
test_evaluator = val_evaluator
