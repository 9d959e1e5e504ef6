# HSNet without its backbone: a config that inherits this adds model.backbone
model = dict(
    type='HSNet',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    taps='auto',
    neck=dict(
        type='HypercorrelationPyramid',
        channels=(16, 64, 128),
        # kernel_sizes and support_strides follow from the levels' strides; for
        # 32, 16 and 8 they are the published ((3, 3, 3), (5, 3, 3), (5, 5, 3))
        # and ((2, 2, 2), (4, 2, 2), (4, 4, 2))
        conv_cfg=dict(type='CenterPivotConv4d'),
        norm_cfg=dict(type='GN', num_groups=4),
        mask_support=True),  # False: HSNet†
    decode_head=dict(
        type='HSNetHead',
        channels=64,
        loss_decode=dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)))
