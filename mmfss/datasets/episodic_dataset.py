import os
import os.path as osp
import random
from abc import abstractmethod
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import Iterator, List, Optional, Set, Tuple, Union

import numpy as np
from mmengine.dataset import BaseDataset, force_full_init
from PIL import Image

from .episodes import Episode, draw_supports
from .protocols import Protocol

# at most so many pairs are opened at start-up, see check_files
MAX_HEADERS = 20_000


class EpisodicDataset(BaseDataset):
    """Base of the few-shot datasets: a pool of entries, served as episodes.

    An *entry* says that an image shows a class. A subclass lists the entries
    (:meth:`load_data_list`); this class draws episodes from them.

    - **Training** (``test_mode=False``): ``dataset[epoch, n]`` is a pure
      function of ``(seed, epoch, n)``. Every entry is the query once per epoch,
      in an order shuffled anew for each. Transforms that draw from ``random`` or
      ``np.random`` find both seeded with these three. Use it with
      ``sampler=dict(type='EpisodeSampler')``, which hands out ``(epoch, n)``.
    - **Testing** (``test_mode=True``): ``dataset[n]`` is the n-th of a fixed
      list, drawn once from NumPy's legacy generator seeded with ``seed``.
      Query n is entry ``n % number of entries``.

    Args:
        shot (int): Number of support images per episode, K. Defaults to 1.
        num_episodes (int, optional): Length of an epoch or of a test list.
            Defaults to None: in testing the protocol's; else every entry is the
            query once, unless the benchmark has it otherwise.
        seed (int, optional): Seed of the draws. Defaults to None: 0 in
            training, the protocol's in testing.
        protocol (str | dict): How testing is done, see :class:`Protocol`; a
            dict makes a new one. Defaults to 'hsnet'.
        data_prefix (dict): Folders, absolute or below ``data_root``:
            ``img_path``, and ``seg_map_path`` where masks have one of their
            own. What is left out is as :attr:`DATA_PREFIX` has it.
        **kwargs: As of :class:`mmengine.dataset.BaseDataset`: ``data_root``,
            ``metainfo``, ``pipeline``, ``test_mode``, .... ``serialize_data``
            has no effect.

    Attributes:
        DATA_PREFIX (dict): The usual ``data_prefix`` of a subclass, with all
            keys that it knows.

    Raises:
        FileNotFoundError: The data root, or a file of the lists, is not there.
        ValueError: A class has fewer than two images, a mask and its image
            differ in size, or an argument makes no sense.
    """
    DATA_PREFIX = dict(img_path='', seg_map_path='')

    def __init__(self,
                 shot: int = 1,
                 num_episodes: Optional[int] = None,
                 seed: Optional[int] = None,
                 protocol: Union[str, dict] = 'hsnet',
                 data_prefix: dict = dict(),
                 **kwargs) -> None:
        for name, value in (('shot', shot), ('num_episodes', num_episodes)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(
                    f'{type(self).__name__}: {name} must be a positive integer, '
                    f'not {value!r}.')
        if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
            raise ValueError(
                f'{type(self).__name__}: seed must be a whole number from 0 on, '
                f'not {seed!r}.')
        self.shot = shot
        self.num_episodes = num_episodes
        self.seed = seed
        self.protocol = Protocol.get(protocol)
        # the lists are small, and drawing reads all of a class
        kwargs['serialize_data'] = False
        unknown = ', '.join(data_prefix.keys() - self.DATA_PREFIX.keys())
        if unknown:
            raise ValueError(
                f'{type(self).__name__}: data_prefix takes '
                f'{", ".join(self.DATA_PREFIX) or "nothing"}, not {unknown}.')
        super().__init__(data_prefix={**self.DATA_PREFIX, **data_prefix}, **kwargs)

    @abstractmethod
    def load_data_list(self) -> List[dict]:
        """List the entries.

        Returns:
            list[dict]: One per entry, with the keys ``name`` (unique for the
            image), ``class_id`` (from 0), ``img_path``, ``seg_map_path``,
            ``class_value`` (the mask's value for the class; None: any non-zero
            value, or those from an optional key ``foreground_from`` on) and
            ``source`` (where the entry is listed, for messages). Optional:
            ``num_classes``, how many classes its mask knows, if not all, and
            ``class_name``, what a JSON file of outlines calls the class, if not
            as ``metainfo`` does.
        """

    def full_init(self) -> None:
        """Read the lists, check the files, and draw the fixed test list."""
        if self._fully_initialized:
            return
        if self.data_root and not osp.isdir(self.data_root):
            raise FileNotFoundError(
                f'{type(self).__name__}: there is no data root '
                f'{self.data_root!r} (seen from {osp.abspath(".")}). Put or '
                'link the data there, or set data_root in the config.')
        super().full_init()
        if not self.data_list:
            raise ValueError(f'{type(self).__name__}: the lists have no entry.')
        self._entries = {(e['class_id'], e['name']): e for e in self.data_list}
        self._names = defaultdict(list)
        for entry in self.data_list:
            self._names[entry['class_id']].append(entry['name'])
        self._metainfo['class_ids'] = sorted(self._names)
        self._check_classes()
        self.check_files()
        if self.test_mode:
            self._apply_protocol()
            self.episode_lists = {
                seed: self._draw_list(seed)
                for seed in self.protocol.seeds
            }
            self.episodes = [
                (seed, episode) for seed, episodes in self.episode_lists.items()
                for episode in episodes
            ]
        else:
            self.num_episodes = self.num_episodes or self.default_num_episodes()
            self.seed = self.seed or 0

    def _apply_protocol(self) -> None:
        """Settle seeds and episodes; a protocol that they change says so."""
        usual = self.protocol.num_episodes or self.default_num_episodes()
        self.num_episodes = self.num_episodes or usual
        seeds = self.protocol.seeds if self.seed is None else (self.seed, )
        settled = dict(seeds=seeds, num_episodes=self.num_episodes)
        if seeds != self.protocol.seeds or self.num_episodes != usual:
            self.protocol = self.protocol.modified(**settled)
        else:
            self.protocol = replace(self.protocol, **settled)

    def _draw_list(self, seed: int) -> List[Episode]:
        rs = np.random.RandomState(seed)
        return [
            self.draw_episode(n % len(self.data_list), rs)
            for n in range(self.num_episodes)
        ]

    @property
    def class_names(self) -> List[str]:
        """list[str]: Names of the classes that there are entries of."""
        return [
            self._metainfo['classes'][c] for c in self._metainfo['class_ids']
        ]

    @property
    @force_full_init
    def pictures(self) -> Set[str]:
        """set[str]: Names of the images that the episodes can show."""
        if not self.test_mode:
            return {e['name'] for e in self.data_list}
        return {
            name for _, episode in self.episodes
            for name in (episode.query, *episode.supports)
        }

    def default_num_episodes(self) -> int:
        """Length of an epoch or of the test list without ``num_episodes``."""
        return len(self.data_list)

    def draw_episode(self, query: int, rs: np.random.RandomState) -> Episode:
        """Draw one episode.

        A benchmark with another draw (of the class, of the query) overrides
        this.

        Args:
            query (int): Index of the entry whose turn it is to be the query.
            rs (RandomState): The random stream to draw from.

        Returns:
            Episode: The episode.
        """
        entry = self.data_list[query]
        return self.complete_episode(entry['class_id'], entry['name'], rs)

    def complete_episode(self, class_id: int, query: str,
                         rs: np.random.RandomState) -> Episode:
        """Draw the supports for a query.

        Args:
            class_id (int): The episode's class.
            query (str): The query's name.
            rs (RandomState): The random stream to draw from.

        Returns:
            Episode: The episode.
        """
        unique = self.test_mode and self.protocol.unique_supports
        supports = draw_supports(rs, self._names[class_id], query, self.shot,
                                 unique)
        return Episode(class_id, query, supports)

    @force_full_init
    def get_episode(self, idx: Union[int, Tuple[int, int]]) -> Episode:
        """The episode at an index.

        Args:
            idx (int | tuple[int, int]): ``n`` in testing, ``(epoch, n)`` in
                training.

        Raises:
            IndexError: There is no such episode.
            TypeError: The index is that of the other mode.
        """
        if self.test_mode:
            if isinstance(idx, tuple):
                raise TypeError(
                    f'{type(self).__name__} in testing is indexed by n, not by '
                    f'{idx}: its list of episodes is fixed. Set the sampler of '
                    "val_ and test_dataloader to dict(type='DefaultSampler', "
                    'shuffle=False).')
            return self.episodes[idx][1]
        if isinstance(idx, int):
            raise TypeError(
                f'{type(self).__name__} in training is indexed by (epoch, n), '
                f'not by {idx}: with a plain number every epoch would repeat '
                'the same episodes. Set train_dataloader.sampler='
                "dict(type='EpisodeSampler').")
        epoch, n = idx
        if not 0 <= n < self.num_episodes:
            raise IndexError(f'episode {n} of {self.num_episodes}')
        turn, place = divmod(n, len(self.data_list))
        order = _shuffled(len(self.data_list), self.seed, epoch, turn)
        rs = np.random.RandomState([self.seed, epoch, n])
        return self.draw_episode(order[place], rs)

    def get_data_info(self, idx: Union[int, Tuple[int, int]]) -> dict:
        """What the pipeline gets for an episode.

        Returns:
            dict: ``query`` (dict) and ``supports`` (list[dict]) with the paths
            of each image and its mask, ``class_id``, ``class_name``,
            ``sample_idx``, ``seed`` and ``original_size``.
        """
        episode = self.get_episode(idx)
        class_name = self._metainfo['classes'][episode.class_id]
        images = [
            dict(
                name=name,
                img_path=entry['img_path'],
                seg_map_path=entry['seg_map_path'],
                class_name=entry.get('class_name', class_name),
                class_value=entry['class_value'],
                foreground_from=entry.get('foreground_from', 1),
                num_classes=entry.get('num_classes',
                                      len(self._metainfo['classes'])))
            for name in (episode.query, *episode.supports)
            for entry in [self._entries[episode.class_id, name]]
        ]
        return dict(
            query=images[0],
            supports=images[1:],
            class_id=episode.class_id,
            class_name=class_name,
            sample_idx=idx,
            seed=self.episodes[idx][0] if self.test_mode else self.seed,
            original_size=self.test_mode and self.protocol.original_size)

    def __getitem__(self, idx: Union[int, Tuple[int, int]]) -> dict:
        """The episode at an index, after the pipeline."""
        info = self.get_data_info(idx)
        key = idx if isinstance(idx, tuple) else (idx % len(self), )
        with _seeded(info['seed'], *map(int, key)):
            return self.pipeline(info)

    @force_full_init
    def __len__(self) -> int:
        """Number of episodes of an epoch, or of all test lists together."""
        return len(self.episodes) if self.test_mode else self.num_episodes

    def _check_classes(self) -> None:
        unique = self.test_mode and self.protocol.unique_supports
        needed = 1 + self.shot if unique else 2
        few = {
            self._metainfo['classes'][c]: len(set(names))
            for c, names in self._names.items() if len(set(names)) < needed
        }
        if few:
            why = (f'a query and {self.shot} different supports'
                   if unique else 'a query and another as support')
            raise ValueError(
                f'{type(self).__name__}: a class needs at least {needed} images, '
                f'{why}; too few: {few}. Add images or leave these classes out.')

    def check_files(self) -> None:
        """Find missing files and differing sizes before training starts.

        Every name is looked up in its folder's listing, which is quick; the
        sizes are read from at most :data:`MAX_HEADERS` pairs, evenly spread,
        because opening all files of a large benchmark on a slow disk takes
        minutes. :class:`LoadFewShotMask` checks each pair that is used.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: An image cannot be read, or its mask has another size.
        """
        pairs = {(e['img_path'], e['seg_map_path']): e for e in self.data_list}
        entries = [  # of a remote backend: found out when loading
            e for e in pairs.values()
            if '://' not in e['img_path'] and '://' not in e['seg_map_path']
        ]
        listed = {}
        for entry in entries:
            for key, what in (('img_path', 'image'), ('seg_map_path', 'mask')):
                folder, file = osp.split(entry[key])
                if folder not in listed:
                    listed[folder] = set(
                        os.listdir(folder) if osp.isdir(folder) else ())
                if file not in listed[folder]:
                    raise FileNotFoundError(
                        f'{type(self).__name__}: {entry["source"]} names '
                        f'{entry["name"]!r}, but there is no {what} '
                        f'{entry[key]}. Complete the data, or take it out of '
                        'the list.')
        for entry in entries[::len(entries) // MAX_HEADERS + 1]:
            image = _size(entry['img_path'], 'image', entry['source'])
            mask = self.mask_size(entry) or image
            if image != mask:
                raise ValueError(
                    f'{entry["seg_map_path"]} is {mask} (width, height), but '
                    f'its image {entry["img_path"]} is {image}. A mask must '
                    'have its image\'s size: replace one of them.')

    def mask_size(self, entry: dict) -> Optional[Tuple[int, int]]:
        """Width and height of an entry's mask; None: not known without the
        image.
        """
        return _size(entry['seg_map_path'], 'mask', entry['source'])

    def _read_lines(self, path: str, needed: str) -> List[str]:
        """The lines of a list; ``needed``: what ``split_dir`` must hold."""
        try:
            with open(path, encoding='utf-8') as file:
                return file.read().splitlines()
        except FileNotFoundError:
            raise FileNotFoundError(
                f'{type(self).__name__}: there is no list {path}. split_dir must '
                f'hold {needed}.') from None


def _size(path: str, what: str, source: str) -> Tuple[int, int]:
    """Width and height of an image file, from its header only."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:  # Pillow's own errors are among them
        raise ValueError(
            f'{path} (named by {source}) is not a readable {what}: {error}. '
            'Replace the file.') from error


@contextmanager
def _seeded(*key: int) -> Iterator[None]:
    """Python's and NumPy's random numbers follow from the key in the block."""
    states = random.getstate(), np.random.get_state()
    random.seed(str(key))
    np.random.seed((*key, 1))  # other numbers than those that drew the episode
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@lru_cache(maxsize=4)
def _shuffled(length: int, *key: int) -> list:
    """A permutation of ``range(length)``, a pure function of the key."""
    return np.random.RandomState(key).permutation(length).tolist()
