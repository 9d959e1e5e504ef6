_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/swin-transformer/swin_tiny_224_b16x64_300e_imagenet_20210616_090925-66df6be6.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        pad_small_map=True,  # takes images of any size
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
