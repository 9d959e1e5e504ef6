# Domain shift: train and validate on COCO-20i, test on PASCAL. Or train
# hsnet_<backbone>_coco20i_fold<f>, which is the same, and only test with this.
_base_ = 'coco20i_fold0.py'

test_dataloader = dict(
    dataset=dict(
        type='COCO2PASCALDataset',
        data_root='data/VOCdevkit/VOC2012',
        # the published episodes are not known; these are ours
        protocol=dict(name='domain-shift')))
