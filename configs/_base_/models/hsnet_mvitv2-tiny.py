_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/mvit/mvitv2-tiny_3rdparty_in1k_20220722-db7beeef.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.MViT',
        arch='tiny',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
