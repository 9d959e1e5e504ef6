_base_ = 'hsnet.py'

# any model of timm that takes features_only: pip install -e ".[timm]"
model = dict(
    backbone=dict(
        type='mmpretrain.TIMMBackbone',
        model_name='regnety_032',
        features_only=True,
        pretrained=True))  # timm downloads them
