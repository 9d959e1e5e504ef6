_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/convnext-v2/convnext-v2-tiny_fcmae-pre_3rdparty_in1k_20230104-471a86de.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.ConvNeXt',
        arch='tiny',
        layer_scale_init_value=0.,
        use_grn=True,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
