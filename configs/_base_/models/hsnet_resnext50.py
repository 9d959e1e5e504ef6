_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/resnext/resnext50_32x4d_b32x8_imagenet_20210429-56066e27.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.ResNeXt',
        depth=50,
        groups=32,
        width_per_group=4,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
