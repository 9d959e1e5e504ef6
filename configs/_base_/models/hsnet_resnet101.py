_base_ = 'hsnet.py'

# torchvision's original weights, those of the published runs
torchvision_weights = 'https://download.pytorch.org/models/resnet101-63fe2227.pth'
# the zoo's own, with another training recipe: to use them, set
# model.backbone.init_cfg=dict(checkpoint=_base_.zoo_weights, prefix='backbone')
zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/resnet/resnet101_8xb32_in1k_20210831-539c63f8.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.ResNet',
        depth=101,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint=torchvision_weights)))
