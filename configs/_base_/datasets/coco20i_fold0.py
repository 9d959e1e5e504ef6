_base_ = 'benchmark.py'

dataset_type = 'COCO20iDataset'
data_root = 'data/coco'
fold = 0
train_dataloader = dict(
    batch_size=40,
    dataset=dict(type=dataset_type, data_root=data_root, fold=fold))
val_dataloader = dict(
    dataset=dict(
        type=dataset_type, data_root=data_root, fold=fold))
test_dataloader = val_dataloader
