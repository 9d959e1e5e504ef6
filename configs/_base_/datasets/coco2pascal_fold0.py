# Domain shift: train on COCO-20i, validate and test on PASCAL
_base_ = 'coco20i_fold0.py'

val_dataloader = dict(
    dataset=dict(
        type='COCO2PASCALDataset',
        data_root='data/VOCdevkit/VOC2012',
        # the published episodes are not known; these are ours
        protocol=dict(name='domain-shift')))
test_dataloader = val_dataloader
