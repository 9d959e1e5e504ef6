_base_ = 'prototype.py'

# torchvision's original weights; its names are converted to the zoo's on loading
torchvision_weights = 'https://download.pytorch.org/models/vgg16-397923af.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.VGG',
        depth=16,
        init_cfg=dict(type='Pretrained', checkpoint=torchvision_weights)))
