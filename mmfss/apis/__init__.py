from .few_shot_inferencer import FewShotInferencer

__all__ = ['FewShotInferencer']
