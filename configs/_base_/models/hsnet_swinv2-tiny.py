_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/swin-v2/swinv2-tiny-w8_3rdparty_in1k-256px_20220803-e318968f.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.SwinTransformerV2',
        arch='tiny',
        img_size=256,  # of the weights
        pad_small_map=True,  # takes images of any size
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
