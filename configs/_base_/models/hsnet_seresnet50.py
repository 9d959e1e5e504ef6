_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/se-resnet/se-resnet50_batch256_imagenet_20200804-ae206104.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.SEResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
