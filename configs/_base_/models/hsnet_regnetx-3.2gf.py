_base_ = 'hsnet.py'

zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/regnet/regnetx-3.2gf_8xb64_in1k_20211213-1fdd82ae.pth'

model = dict(
    # these weights want images in BGR
    data_preprocessor=dict(
        mean=[103.53, 116.28, 123.675],
        std=[57.375, 57.12, 58.395],
        bgr_to_rgb=False),
    backbone=dict(
        type='mmpretrain.RegNet',
        arch='regnetx_3.2gf',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
