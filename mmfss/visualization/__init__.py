from .few_shot_visualizer import FewShotVisualizer, foreground_iou, to_rgb

__all__ = ['FewShotVisualizer', 'foreground_iou', 'to_rgb']
