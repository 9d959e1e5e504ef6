_base_ = 'prototype.py'

root = '{{ fileDirname }}/../../..'
model = dict(
    backbone=dict(
        type='mmpretrain.MobileNetV2',
        init_cfg=dict(
            type='Pretrained',
            checkpoint=f'{root}/demo/weights/mobilenetv2_imagenet.pth')),
    # the best of 0, 0.05, ... on the training classes of objects30
    threshold=0.3)
