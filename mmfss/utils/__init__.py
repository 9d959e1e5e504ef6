from .file_name import file_name
from .replacing import TEMPORARY, replacing

__all__ = ['TEMPORARY', 'file_name', 'replacing']
