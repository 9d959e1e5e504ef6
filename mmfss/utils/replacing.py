import os
import os.path as osp
from contextlib import contextmanager, suppress
from typing import Iterator

TEMPORARY = '.mmfss-tmp'


@contextmanager
def replacing(path: str) -> Iterator[str]:
    """Write a file whole or not at all.

    Until the block is left without an error, ``path`` is what it was. A process
    that is killed in it leaves the temporary file behind; the next one that
    writes ``path`` overwrites it.

    Args:
        path (str): The file; its folder is made if needed.

    Raises:
        IsADirectoryError: ``path`` is a folder.

    Yields:
        str: A name in the same folder to write to, ``path`` + ``TEMPORARY``.

    Example:
        >>> import os, tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with replacing(f'{folder}/notes.txt') as temporary:
        ...     with open(temporary, 'w') as file:
        ...         _ = file.write('all of it')
        >>> os.listdir(folder)
        ['notes.txt']
    """
    if osp.isdir(path):
        raise IsADirectoryError(f'{path} is a folder. Name a file.')
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    temporary = f'{path}{TEMPORARY}'
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:  # Ctrl-C, too
        with suppress(FileNotFoundError):
            os.remove(temporary)
        raise
