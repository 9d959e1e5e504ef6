# Nothing is trained: python tools/test.py <this>, without a checkpoint
_base_ = [
    '_base_/models/prototype_mobilenetv2.py',
    '_base_/datasets/objects30.py',
    '_base_/default_runtime.py',
]

train_dataloader = None
val_dataloader = None
val_evaluator = None
test_cfg = dict(type='TestLoop')
