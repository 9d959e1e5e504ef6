_base_ = 'hsnet.py'

# the zoo's conversion of torchvision's; a local file in torchvision's names
# loads too: model.backbone.init_cfg=dict(_delete_=True, type='Pretrained',
# checkpoint='densenet121.pth')
zoo_weights = 'https://mmassets.onedl.ai/mmclassification/v0/densenet/densenet121_4xb256_in1k_20220426-07450f99.pth'

model = dict(
    backbone=dict(
        type='mmpretrain.DenseNet',
        arch='121',
        init_cfg=dict(
            type='Pretrained', checkpoint=zoo_weights, prefix='backbone')))
