_base_ = 'hsnet.py'

zoo_weights = 'open-mmlab://resnet50_v1c'

model = dict(
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint=zoo_weights)))
