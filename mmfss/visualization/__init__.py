from .few_shot_visualizer import FewShotVisualizer

__all__ = ['FewShotVisualizer']
