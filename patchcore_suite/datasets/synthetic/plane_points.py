"""Points in the plane, for pictures of coresets."""

import torch
from torch import Generator, Tensor

# Centre, spread and share of each mode: some crowded, some rare, as the textures of a part are.
MODES = (
    ((-2.0, 1.5), 0.35, 0.40),
    ((1.5, 2.0), 0.55, 0.30),
    ((0.0, -1.0), 0.25, 0.20),
    ((2.6, -1.6), 0.30, 0.06),
    ((-2.4, -2.0), 0.20, 0.03),
    ((3.4, 0.8), 0.08, 0.01),
)


def multimodal_points(n: int, *, generator: Generator) -> Tensor:
    """(n, 2) points of a mixture of Gaussians, some of them rare."""
    centres, spreads, shares = (torch.tensor(column) for column in zip(*MODES, strict=True))
    modes = torch.multinomial(shares, n, replacement=True, generator=generator)
    return centres[modes] + spreads[modes, None] * torch.randn(n, 2, generator=generator)


def uniform_points(n: int, *, generator: Generator) -> Tensor:
    """(n, 2) points spread evenly over a square."""
    return 6 * torch.rand(n, 2, generator=generator) - 3


def distributions(n: int, *, seed: int) -> dict[str, Tensor]:
    """Both point sets, by name."""
    return {
        "multi-modal": multimodal_points(n, generator=torch.Generator().manual_seed(seed)),
        "uniform": uniform_points(n, generator=torch.Generator().manual_seed(seed + 1)),
    }
