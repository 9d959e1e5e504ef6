# ablation: of each level only the last map
_base_ = 'hsnet_resnet101_pascal5i_fold0.py'

model = dict(taps=[['layer4.2.relu:input'], ['layer3.22.relu:input'],
                   ['layer2.3.relu:input']])
