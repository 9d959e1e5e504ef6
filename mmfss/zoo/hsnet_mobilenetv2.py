# HSNet-MobileNetV2 as configs/hsnet_mobilenetv2_objects30.py trains it. The weights
# beside this file hold the backbone, too.
default_scope = 'mmfss'
model = dict(
    type='HSNet',
    backbone=dict(type='mmpretrain.MobileNetV2'),
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    taps='auto',
    neck=dict(
        type='HypercorrelationPyramid',
        channels=(16, 64, 128),
        conv_cfg=dict(type='CenterPivotConv4d'),
        norm_cfg=dict(type='GN', num_groups=4),
        mask_support=True),
    decode_head=dict(
        type='HSNetHead',
        channels=64,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)))
test_dataloader = dict(
    dataset=dict(pipeline=[
        dict(
            type='ForEachImage',
            transforms=[dict(type='ResizeFewShot', scale=(256, 256))])
    ]))
load_from = '{{ fileDirname }}/hsnet_mobilenetv2.pth'
