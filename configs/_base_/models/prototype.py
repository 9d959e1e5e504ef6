# PrototypeNet without its backbone: a config that inherits this adds model.backbone
model = dict(
    type='PrototypeNet',
    data_preprocessor=dict(
        type='FewShotDataPreProcessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True),
    taps='auto')
