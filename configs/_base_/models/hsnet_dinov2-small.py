_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmpretrain/v1.0/dinov2/vit-small-p14_dinov2-pre_3rdparty_20230426-5641ca5a.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.VisionTransformer',
        arch='dinov2-small',
        # of the weights: the position embedding is resized to each image
        img_size=518,
        patch_size=14,
        layer_scale_init_value=1e-5,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
