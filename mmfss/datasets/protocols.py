"""How an evaluation is done, as named objects."""
from dataclasses import asdict, dataclass, replace
from typing import Optional, Tuple, Union


@dataclass(frozen=True)
class Protocol:
    """What may differ between two evaluations of the same benchmark.

    Attributes:
        name (str): Under which figures are reported.
        unique_supports (bool): Draw an episode's supports without replacement.
            Defaults to False: with replacement, as published.
        num_episodes (int, optional): Episodes per seed. Defaults to None: the
            benchmark's number.
        seeds (tuple[int]): One list of episodes is drawn per seed; figures are
            the mean over them. Defaults to (0, ).
        original_size (bool): Compare masks at the query's size on disk; the
            logits are resized straight to it. Defaults to False: at the size
            that the query was resized to.
        note (str): What a reader of the figures must know. Defaults to ''.

    Raises:
        ValueError: An attribute makes no sense.

    Example:
        >>> Protocol.get('multi-seed').seeds
        (0, 1, 2, 3, 4)
        >>> Protocol.get(dict(name='mine', seeds=(7, 8))).unique_supports
        False
    """
    name: str
    unique_supports: bool = False
    num_episodes: Optional[int] = None
    seeds: Tuple[int, ...] = (0, )
    original_size: bool = False
    note: str = ''

    def __post_init__(self) -> None:
        seeds, number = self.seeds, self.num_episodes
        problem = ''
        if not isinstance(self.name, str) or not self.name:
            problem = f'name must be a text, not {self.name!r}'
        elif not isinstance(seeds, tuple) or not seeds or len(
                set(seeds)) < len(seeds) or not all(
                    type(s) is int and 0 <= s < 2**32 for s in seeds):
            problem = ('seeds must be distinct whole numbers from 0 on, e.g. '
                       f'(0, 1, 2), not {seeds!r}')
        elif number is not None and (type(number) is not int or number < 1):
            problem = f'num_episodes must be a positive integer, not {number!r}'
        for key in ('unique_supports', 'original_size'):
            if type(getattr(self, key)) is not bool:
                problem = f'{key} must be True or False, not {getattr(self, key)!r}'
        if problem:
            raise ValueError(f'protocol: {problem}.')

    @staticmethod
    def get(protocol: Union[str, dict, 'Protocol']) -> 'Protocol':
        """The protocol of that name, or a new one with those attributes.

        Raises:
            ValueError: There is no protocol of that name, or an attribute is
                unknown or makes no sense.
        """
        if isinstance(protocol, Protocol):
            return protocol
        if isinstance(protocol, str):
            if protocol not in PROTOCOLS:
                raise ValueError(
                    f'There is no protocol {protocol!r}. There are: '
                    f'{", ".join(PROTOCOLS)}. A new one is written as a dict, '
                    "e.g. protocol=dict(name='mine', seeds=(0, 1, 2)).")
            return PROTOCOLS[protocol]
        unknown = set(protocol) - set(Protocol.__dataclass_fields__)
        if unknown or not protocol.get('name'):
            raise ValueError(
                f'protocol={dict(protocol)} needs a name and may have '
                f'{", ".join(list(Protocol.__dataclass_fields__)[1:])}.')
        if protocol['name'] in PROTOCOLS:
            raise ValueError(
                f'The name {protocol["name"]!r} is taken by a protocol of '
                'mmfss: give yours its own.')
        seeds = protocol.get('seeds', (0, ))
        if isinstance(seeds, list):  # a config may hold either
            seeds = tuple(seeds)
        return Protocol(**{**protocol, 'seeds': seeds})

    def modified(self, **changes) -> 'Protocol':
        """This protocol with other attributes, and a name that says so."""
        return replace(self, name=f'{self.name} (modified)', **changes)

    def to_dict(self) -> dict:
        """As plain values, for a report."""
        return asdict(self)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        # exactly as published
        Protocol('hsnet'),
        # a support is never the same photo twice: what K shots promise
        Protocol('hsnet-unique-supports', unique_supports=True),
        # as published, but compared with the masks on disk
        Protocol('original-size', original_size=True),
        Protocol(
            'pfenet-style',
            unique_supports=True,
            num_episodes=5000,
            note="PFENet's manner of sampling: neither its lists nor its number "
            'of episodes'),
        # five lists instead of one, so that the spread is known
        Protocol('multi-seed', seeds=(0, 1, 2, 3, 4)),
    )
}
