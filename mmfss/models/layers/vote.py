from torch import Tensor


def kshot_vote(masks: Tensor) -> Tensor:
    """Merge the masks that each of K supports predicts, as published.

    Args:
        masks (Tensor): 0 or 1, ``(B, K, H, W)``, integer or bool.

    Returns:
        Tensor: int64, ``(B, H, W)``.
    """
    return merge_votes(masks.sum(dim=1)).long()


def merge_votes(votes: Tensor) -> Tensor:
    """The rule of :func:`kshot_vote`, for votes that are counted already.

    The votes per pixel are divided by the largest vote in that image (at least
    1); a pixel with a half or more is foreground.

    Args:
        votes (Tensor): Number of supports for foreground, ``(B, H, W)``.

    Returns:
        Tensor: bool, ``(B, H, W)``.
    """
    most = votes.amax(dim=(1, 2), keepdim=True).clamp(min=1)
    return 2 * votes >= most
