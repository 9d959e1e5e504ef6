_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/beit/beitv2-base_3rdparty_in1k_20221114-73e11905.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.BEiTViT',
        arch='base',
        img_size=224,  # and no other
        patch_size=16,
        out_type='avg_featmap',
        use_abs_pos_emb=False,
        use_rel_pos_bias=True,
        use_shared_rel_pos_bias=False,
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
