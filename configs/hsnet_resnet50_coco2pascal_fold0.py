_base_ = [
    '_base_/models/hsnet_resnet50.py',
    '_base_/datasets/coco2pascal_fold0.py',
    '_base_/schedules/adam_coco20i.py',
    '_base_/default_runtime.py',
]
