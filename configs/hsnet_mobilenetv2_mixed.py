# For photos of your own: trained on VOC2012 (the classes of PASCAL-5i's fold 0 left
# out) and on the bundled subjects, validated on bundled subjects that it never sees
_base_ = [
    '_base_/models/hsnet_mobilenetv2.py',
    '_base_/datasets/objects30.py',
    '_base_/schedules/adam_350e.py',
    '_base_/default_runtime.py',
]

train_dataloader = dict(
    num_workers=2,
    persistent_workers=True,
    dataset=dict(
        _delete_=True,
        type='ConcatEpisodicDataset',
        datasets=[
            dict(
                type='PASCAL5iDataset',
                data_root='data/VOCdevkit/VOC2012',
                split_dir=None,
                fold=0),
            dict(
                type='FolderDataset',
                data_root=_base_.data_root,
                metainfo=dict(classes=_base_.train_classes)),
        ],
        shot=1,
        seed=0,
        pipeline=_base_.pipeline))
auto_scale_lr = dict(base_batch_size=4)
