_base_ = 'hsnet.py'

model = dict(
    backbone=dict(
        type='mmpretrain.MobileNetV2',
        init_cfg=dict(
            type='Pretrained',
            checkpoint='{{ fileDirname }}/../../../demo/weights/mobilenetv2_imagenet.pth')))
