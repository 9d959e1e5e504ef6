_base_ = 'adam_350e.py'

# No number of epochs is published for COCO-20i. An epoch has seven times the
# episodes of one of PASCAL-5i (70,800 to 10,300, the folds' means), so 50 epochs
# are as many as 350 there, 3.5 million. The best checkpoint by mIoU is kept.
max_epochs = 50
train_cfg = dict(max_epochs=max_epochs)

auto_scale_lr = dict(base_batch_size=40)  # as published
