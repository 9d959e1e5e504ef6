_base_ = 'benchmark.py'

dataset_type = 'FSS1000Dataset'
data_root = 'data/fss1000'
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, split='trn'))
val_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, split='val'))
test_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, split='test'))
