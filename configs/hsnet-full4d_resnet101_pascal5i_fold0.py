# ablation: full 4-D kernels in place of center-pivot ones
_base_ = 'hsnet_resnet101_pascal5i_fold0.py'

model = dict(neck=dict(conv_cfg=dict(type='FullConv4d')))
