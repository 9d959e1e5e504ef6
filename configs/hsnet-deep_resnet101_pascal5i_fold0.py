# ablation: the deep level alone
_base_ = 'hsnet_resnet101_pascal5i_fold0.py'

model = dict(
    taps=[[f'layer4.{i}.relu:input' for i in range(3)]],
    neck=dict(kernel_sizes=((3, 3, 3), ), support_strides=((2, 2, 2), )))
