from .multi_shot_val_loop import MultiShotValLoop

__all__ = ['MultiShotValLoop']
