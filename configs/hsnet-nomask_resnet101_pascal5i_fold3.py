# HSNet†: support features are not masked
_base_ = 'hsnet_resnet101_pascal5i_fold3.py'

model = dict(neck=dict(mask_support=False))
