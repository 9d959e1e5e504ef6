_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/efficientnetv2/efficientnetv2-s_3rdparty_in1k_20221220-f0eaff9d.pth'

model = dict(
    data_preprocessor=dict(
        mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(
        type='mmpretrain.EfficientNetV2',
        arch='s',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
