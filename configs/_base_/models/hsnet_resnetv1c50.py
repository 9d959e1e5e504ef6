_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/pretrain/third_party/resnet50_v1c-2cccc1ad.pth'

model = dict(
    backbone=dict(
        type='mmseg.ResNetV1c',
        depth=50,
        init_cfg=dict(type='Pretrained', checkpoint=zoo_weights)))
