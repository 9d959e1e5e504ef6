_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/mobilenet_v3/convert/mobilenet_v3_large-3ea3c186.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.MobileNetV3',
        arch='large',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
