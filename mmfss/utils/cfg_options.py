from mmengine.config import DictAction


class CfgOptions(DictAction):
    """mmengine's, with a message for what is no ``key=value``."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:
        for value in values:
            if '=' not in value:
                parser.error(f'{option_string}: expected key=value, not {value}')
        super().__call__(parser, namespace, values, option_string)
