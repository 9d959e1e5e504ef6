# The published run has a limit of 2000 epochs and was stopped by hand. Its
# author advises at least about 350 on PASCAL-5i; the best checkpoint by mIoU is
# kept, so more epochs cost nothing but time.
max_epochs = 350

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

# As published: Adam with its default betas, constant learning rate, no decay
optim_wrapper = dict(
    type='OptimWrapper',
    constructor='TrainableOptimWrapperConstructor',  # no frozen backbone in it
    optimizer=dict(type='Adam', lr=1e-3, weight_decay=0))
param_scheduler = [dict(type='ConstantLR', factor=1, by_epoch=True)]

# One process holds the whole published batch. With several, divide
# train_dataloader.batch_size by their number, or turn this on.
auto_scale_lr = dict(enable=False, base_batch_size=20)
