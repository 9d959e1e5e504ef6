_base_ = 'adam_350e.py'

# No number of epochs is published for FSS-1000; as many as for PASCAL-5i. An
# epoch has 5,200 episodes and a validation 2,400, hence the interval.
max_epochs = 350
train_cfg = dict(max_epochs=max_epochs, val_interval=5)
