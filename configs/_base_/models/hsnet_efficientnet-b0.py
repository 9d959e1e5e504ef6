_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/efficientnet/efficientnet-b0_3rdparty_8xb32_in1k_20220119-a7e2a0b1.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.EfficientNet',
        arch='b0',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
