from .hsnet_head import HSNetHead

__all__ = ['HSNetHead']
