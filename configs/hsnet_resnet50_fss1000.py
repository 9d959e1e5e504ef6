_base_ = [
    '_base_/models/hsnet_resnet50.py',
    '_base_/datasets/fss1000.py',
    '_base_/schedules/adam_fss1000.py',
    '_base_/default_runtime.py',
]
