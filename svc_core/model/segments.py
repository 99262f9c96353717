"""Random windows of a batch: the decoder learns on a short piece of each row."""

import torch
from torch import Tensor

from svc_core.errors import BadInput


def random_starts(lengths: Tensor, segment_frames: int) -> Tensor:
    """One start per row, even over the places where the segment fits, drawn from torch's global generator.

    A row shorter than the segment starts at 0, and its segment reaches into the padding.

    Args:
        lengths: [B] frames.
    Returns:
        [B] int64.
    """
    places = (lengths - segment_frames + 1).clamp(min=1)
    return (torch.rand(lengths.size(0), device=lengths.device) * places).long()


def take(x: Tensor, starts: Tensor, length: int) -> Tensor:
    """Cuts `length` steps out of each row. Args: x [B, ..., F], starts [B]. Returns [B, ..., length].

    Raises BadInput where the batch is shorter than that.
    """
    if x.size(-1) < length:
        raise BadInput(
            f"a batch of {x.size(-1)} steps is shorter than the segment of {length}: "
            "lower train.segment_size, or leave clips that short out"
        )
    return torch.stack([row.narrow(-1, start, length) for row, start in zip(x, starts.tolist(), strict=True)])
