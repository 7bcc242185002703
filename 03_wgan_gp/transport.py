"""How far apart are two distributions? Two answers, computed exactly for small cases.

The Jensen-Shannon divergence, which the game of chapter 01 minimises, and the Wasserstein distance W, also called the
earth mover's: the least mean distance over which the mass of one distribution has to be carried to become the other (Eq. 1 of
arXiv:1701.07875). On a line there is a formula for W, and for two clouds of equally many points a solver of SciPy. For
two distributions of pictures, known by samples alone, a critic estimates it.

Shape letters: N points, B bins, D dimensions.
"""

import torch
from scipy.optimize import linear_sum_assignment  # type: ignore[import-untyped]
from torch import Tensor


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """JSD of two discrete distributions [B]: 0 where they are equal, log 2 where they have nothing in common. -> []."""
    m = (p + q) / 2
    kl_p, kl_q = (torch.special.xlogy(part, part / m).nan_to_num(0).sum() for part in (p, q))  # 0 log(0 / 0) = 0
    return (kl_p + kl_q) / 2


def earth_mover(p: Tensor, q: Tensor, positions: Tensor) -> Tensor:
    """W of two discrete distributions [B] at increasing positions [B] on a line: the sum of |F_p - F_q| times the gaps.

    F is the cumulative sum. What lies too much to the left of a gap, F_p - F_q, has to be carried over it. -> [].
    """
    surplus = (p - q).cumsum(0)[:-1]  # [B - 1], one for each gap
    return (surplus.abs() * positions.diff()).sum()


def distance(x: Tensor, y: Tensor) -> float:
    """W of two clouds of equally many points [N, D], each of weight 1 / N: the mean distance in the best matching."""
    cost = torch.cdist(x.double(), y.double())  # [N, N]
    rows, columns = linear_sum_assignment(cost.numpy())
    return cost[rows, columns].mean().item()


def parallel_lines(theta: float, n: int = 200) -> tuple[Tensor, Tensor]:
    """Example 1 of arXiv:1701.07875: n points [N, 2] on the line x = 0 and n on x = theta, both with y over [0, 1]."""
    y = (torch.arange(n) + 0.5) / n
    return torch.stack([torch.zeros(n), y], dim=1), torch.stack([torch.full((n,), theta), y], dim=1)


def histogram(points: Tensor, cell: float = 0.05, reach: float = 2.0) -> Tensor:
    """The share of points [N, 2] in each square of side `cell` of a chessboard over [-reach, reach]²: [B]."""
    n = round(2 * reach / cell)
    column, row = ((points + reach) / cell).long().clamp(0, n - 1).unbind(1)
    return (row * n + column).bincount(minlength=n * n) / len(points)
