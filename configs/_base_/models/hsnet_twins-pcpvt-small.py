_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/twins/twins-pcpvt-small_3rdparty_8xb128_in1k_20220126-ef23c132.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.PCPVT',
        arch='small',
        qkv_bias=True,
        norm_cfg=dict(type='LN', eps=1e-6),
        norm_after_stage=[False, False, False, True],
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
