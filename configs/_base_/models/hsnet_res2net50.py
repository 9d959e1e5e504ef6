_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/res2net/res2net50-w26-s8_3rdparty_8xb32_in1k_20210927-f547a94b.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.Res2Net',
        depth=50,
        scales=8,
        base_width=26,
        deep_stem=False,
        avg_down=False,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
