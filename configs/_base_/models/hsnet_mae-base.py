_base_ = 'hsnet.py'

# pre-trained without labels
zoo_weights = 'https://mmassets.onedl.ai/mmselfsup/1.x/mae/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k/mae_vit-base-p16_8xb512-fp16-coslr-1600e_in1k_20220825-f7569ca2.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='base',
        # of the weights: the position embedding is resized to each image
        img_size=224,
        patch_size=16,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
