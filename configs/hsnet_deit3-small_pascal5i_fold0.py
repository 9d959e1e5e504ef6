_base_ = [
    '_base_/models/hsnet_deit3-small.py',
    '_base_/datasets/pascal5i_fold0.py',
    '_base_/schedules/adam_350e.py',
    '_base_/default_runtime.py',
]
