# The quick start: small enough to train in minutes on a CPU, on bundled photos
_base_ = [
    '_base_/models/hsnet_mobilenetv2.py',
    '_base_/datasets/objects30.py',
    '_base_/schedules/adam_350e.py',
    '_base_/default_runtime.py',
]

max_epochs = 15
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
auto_scale_lr = dict(base_batch_size=4)
default_hooks = dict(
    logger=dict(interval=5),
    visualization=dict(interval=20))
