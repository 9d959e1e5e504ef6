"""Which classes of an own data set are used."""
import difflib
from typing import Optional, Sequence, Tuple

import numpy as np


def choose_classes(found: Sequence[str], named: Optional[Sequence[str]],
                   split: Optional[dict], where: str) -> Tuple[str, ...]:
    """The classes named, those of a part of a random split, or all.

    Args:
        found (Sequence[str]): The classes that there are.
        named (Sequence[str], optional): ``metainfo.classes``.
        split (dict, optional): ``part`` ('train' or 'test'), ``train`` (the share
            of the classes that train, e.g. 0.7) and ``seed`` (0 if left out).
        where (str): The data set, for messages.

    Returns:
        tuple[str]: The classes.

    Raises:
        ValueError: A class is not there, or the split makes no sense.

    Example:
        >>> split = dict(train=0.5, seed=1)
        >>> choose_classes('abcd', None, dict(split, part='train'), 'mine')
        ('c', 'd')
        >>> choose_classes('abcd', None, dict(split, part='test'), 'mine')
        ('a', 'b')
    """
    if named is not None and split is not None:
        raise ValueError(f'{where}: give metainfo.classes or split, not both.')
    if named is not None:
        for name in named:
            if name not in found:
                near = difflib.get_close_matches(name, found) or found
                raise ValueError(
                    f'{where}: there is no class {name!r} of metainfo.classes. '
                    f'There are: {", ".join(near)}.')
        return tuple(named)
    if split is None:
        return tuple(found)
    share, seed = split.get('train'), split.get('seed', 0)
    if (set(split) - {'part', 'train', 'seed'}
            or split.get('part') not in ('train', 'test')
            or not isinstance(share, float) or not 0 < share < 1
            or type(seed) is not int or seed < 0):
        raise ValueError(
            f"{where}: split must be like dict(part='train', train=0.7, seed=0), "
            f"part 'train' or 'test', train a share of the classes, not {split}.")
    number = round(share * len(found))
    if not 0 < number < len(found):
        raise ValueError(f'{where}: split={split} of {len(found)} classes leaves '
                         'one part without a class. Change train.')
    order = np.random.RandomState(seed).permutation(len(found))
    chosen = order[:number] if split['part'] == 'train' else order[number:]
    return tuple(found[n] for n in sorted(chosen))
