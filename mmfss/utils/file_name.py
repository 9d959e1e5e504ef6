import re


def file_name(text: str) -> str:
    """A text as the name of a file: what may not be in one becomes ``_``.

    Example:
        >>> file_name('0012_cup/mug (2)_a:b.png')
        '0012_cup_mug (2)_a_b.png'
    """
    return re.sub(r'[^\w.() -]', '_', text)
