_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/twins/twins-svt-small_3rdparty_8xb128_in1k_20220126-8fe5205b.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.SVT',
        arch='small',
        qkv_bias=True,
        norm_after_stage=[False, False, False, True],
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
