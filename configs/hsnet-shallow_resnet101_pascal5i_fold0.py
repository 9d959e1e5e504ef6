# ablation: the shallow level alone
_base_ = 'hsnet_resnet101_pascal5i_fold0.py'

model = dict(
    taps=[[f'layer2.{i}.relu:input' for i in range(4)]],
    neck=dict(kernel_sizes=((5, 5, 3), ), support_strides=((4, 4, 2), )))
