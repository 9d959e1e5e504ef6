from .replacing import TEMPORARY, replacing

__all__ = ['TEMPORARY', 'replacing']
