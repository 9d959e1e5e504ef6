# ablation: the middle level alone
_base_ = 'hsnet_resnet101_pascal5i_fold0.py'

model = dict(
    taps=[[f'layer3.{i}.relu:input' for i in range(23)]],
    neck=dict(kernel_sizes=((5, 3, 3), ), support_strides=((4, 2, 2), )))
