_base_ = 'prototype_vgg16_pascal5i_fold0.py'

test_dataloader = dict(dataset=dict(fold=3))
