_base_ = 'hsnet.py'

# torchvision's original weights, those of the published runs; its names are
# converted to the zoo's on loading
torchvision_weights = 'https://download.pytorch.org/models/vgg16-397923af.pth'
# the zoo's own, with another training recipe: to use them, set
# model.backbone.init_cfg=dict(checkpoint=_base_.zoo_weights, prefix='backbone')
zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/vgg/vgg16_batch256_imagenet_20210208-db26f1a5.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.VGG',
        depth=16,
        init_cfg=dict(type='Pretrained', checkpoint=torchvision_weights)))
