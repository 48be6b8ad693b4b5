"""The published clearing by neighbours, one conic problem per bus: a baseline to compare with.

D. Antunes, T. Soares, H. Morais, "P2P markets to support trading in smart grids with electric
vehicles", sections II.A and II.B. All agents solve (17) at once, then their trades and their
copies of flows step towards agreement. Of its equations, with q what an agent *buys* locally:

- (1): as printed, but "sum of P pi" is the resources' own cost (a bid is a linear cost; wear and
  quadratic terms are allowed). Losses are free as printed, which makes the relaxation loose:
  mended, the owner of a line buys its loss like a load, so that sum of alpha - beta = import at
  the feeder head.
- (2), (3): one balance, ``p - r l + q + alpha - beta = 0``. As printed q is sold in (2) but bought
  in (3), which (4) contradicts, and a vehicle's discharge is missing in (3).
- (4), (9), (11), (13)-(16): as printed; no reactive power but the firm one, any storage in (15).
- (5)-(7): mended to sending-end flows, one sign for own and children's line, squared V and I
  (as printed (5) adds the loss of no particular line and (7) mixes V with V^2).
- (8): as printed, on squared voltage and current.
- (10): elastic at a price, because (22) may leave a leaf no other answer; it ends at zero
  where the limits can be held.
- (12): dropped; a wear cost keeps charge and discharge apart.
- (17): as printed for the trade. The others' alpha and beta are constants of the agent's problem
  and left out. For flows, "p^F(k) - p^F(k-1)" is mended to the distance from the mean of the two
  copies of iteration k-1, as the trade's term is; as printed, lambda would sum up to the change
  since the start and copies would never meet.
- (18): as printed, a projection. (19): as printed. (20), (21): mended as (17), rho times the
  distance from the mean: lambda of the two ends differ in sign only.
- (22): as printed, but never below 0.5 pu^2, where a leaf may have no answer. No multiplier goes
  with it: nobody pays for the voltage it takes from others, so where a voltage limit binds it
  need not find the optimum, or converge at all (33 buses, Vmin binding: it did not).
- (23)-(25): absolute values; (23) is the change of the sum of all agents' costs in EUR, (24) and
  (25) in MW and Mvar. Recorded, not obeyed: they watch no price and no voltage.

Residual balancing is there but off by default. On 33 buses, 24 h, it took penalties of 0.3 and 280
to 4.5 and 9 and left one of 2.8 alone; none had converged after 1000, 1000 and 2205 iterations.
A fixed 0.15 took 249, presumably because at a small one the losses damp the waves that flows make
between root and leaves.
"""

from peergrid.market.by_neighbours.clearing import (
    NeighbourClearing,
    NeighbourReport,
    clear_by_neighbours,
)
from peergrid.market.by_neighbours.iteration import NeighbourSettings

__all__ = ["NeighbourClearing", "NeighbourReport", "NeighbourSettings", "clear_by_neighbours"]
