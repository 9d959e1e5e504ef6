_base_ = 'benchmark.py'

dataset_type = 'PASCAL5iDataset'
data_root = 'data/VOCdevkit/VOC2012'
fold = 0
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, fold=fold))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, data_root=data_root, fold=fold))
test_dataloader = val_dataloader
