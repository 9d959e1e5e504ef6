# Nothing is trained: python tools/test.py <this>, without a checkpoint
_base_ = [
    '_base_/models/prototype_vgg16.py',
    '_base_/datasets/pascal5i_fold0.py',
    '_base_/default_runtime.py',
]

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='TestLoop')
