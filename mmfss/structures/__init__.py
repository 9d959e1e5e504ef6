from .few_shot_data_sample import FewShotDataSample

__all__ = ['FewShotDataSample']
