_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/deit3/deit3-small-p16_3rdparty_in1k_20221008-0f7c70cf.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.DeiT3',
        arch='small',
        # of the weights: the position embedding is resized to each image
        img_size=224,
        patch_size=16,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
