_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/cspnet/cspresnet50_3rdparty_8xb32_in1k_20220329-dd6dddfb.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.CSPResNet',
        depth=50,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
