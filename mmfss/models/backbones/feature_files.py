import os
import os.path as osp
import re
import uuid
import zipfile
from contextlib import suppress
from typing import List, Optional

import torch
from mmengine.logging import print_log
from torch import Tensor

_NAME = re.compile(r'[0-9a-f]{64}\.features')


class FeatureFiles:
    """Feature maps on disk, one file per image; processes may share the folder.

    A file gets its name when it is complete. One that cannot be read, or holds
    something else, counts as missing. Over the limit, the files used longest
    ago are removed; other files in the folder are left alone.

    Args:
        folder (str): Where the files go; made if need be.
        limit (int): Bytes that they may take together.

    Raises:
        ValueError: The folder cannot be made.
    """

    def __init__(self, folder: str, limit: int) -> None:
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise ValueError(
                f'model.feature_cache.cache_dir={folder!r} cannot be made: '
                f'{error}. Name another folder.') from error
        self.folder = folder
        self.limit = limit
        self._room = 0  # bytes until the folder is looked through again
        self._warned = False

    def load(self, key: str,
             device: torch.device) -> Optional[List[List[Tensor]]]:
        """The maps stored under a key, or None.

        Args:
            key (str): 64 hexadecimal digits.
            device (torch.device): Where to load the maps.
        """
        path = self._path(key)
        try:
            # torch reads an archive without looking at its checksums
            with zipfile.ZipFile(path) as archive:
                if archive.testzip() is not None:
                    raise ValueError('it is damaged')
            content = torch.load(path, map_location=device, weights_only=True)
            levels = content['levels'] if content['key'] == key else None
            os.utime(path)  # used just now
            return levels
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever a broken file may raise
            self._warn(f'{path} is not readable and is made anew: {error!r}')
            return None

    def save(self, key: str, levels: List[List[Tensor]]) -> None:
        """Store maps, if the disk has room.

        Args:
            key (str): 64 hexadecimal digits.
            levels (list[list[Tensor]]): The maps of each level.
        """
        size = sum(f.nbytes for level in levels for f in level)
        partial = f'{self._path(key)}.{uuid.uuid4().hex}.partial'
        try:
            if size > self.limit:
                return
            self._make_room(size)
            with open(partial, 'xb') as file:
                torch.save(dict(key=key, levels=levels), file)
            os.replace(partial, self._path(key))
        except (OSError, RuntimeError) as error:  # a full disk raises either
            if osp.exists(partial):
                os.remove(partial)
            self._warn(f'{self.folder} cannot be written to: {error}. Features '
                       'that memory does not hold are computed again.')

    def _path(self, key: str) -> str:
        return osp.join(self.folder, f'{key}.features')

    def _make_room(self, size: int) -> None:
        if size > self._room:
            found = []  # what another process removes meanwhile is no error
            for entry in os.scandir(self.folder):
                with suppress(FileNotFoundError):
                    if _NAME.match(entry.name):
                        stat = entry.stat()
                        found.append((stat.st_mtime, stat.st_size, entry.path))
            found.sort(reverse=True)
            free = self.limit - sum(bytes for _, bytes, _ in found)
            while found and free < size:
                _, bytes, path = found.pop()
                with suppress(FileNotFoundError):
                    os.remove(path)
                free += bytes
            self._room = max(size, free // 8)  # other processes write, too
        self._room -= size

    def _warn(self, text: str) -> None:
        if not self._warned:
            print_log(f'Feature cache: {text}', logger='current', level=30)
        self._warned = True
