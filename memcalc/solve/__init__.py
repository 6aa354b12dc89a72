"""What can be done with a card: the largest batch, length, rank or model that fits, and the smallest card."""

from memcalc.solve.frontier import Frontier, frontier
from memcalc.solve.largest import Answer, largest
from memcalc.solve.verdict import Verdict, verdict

__all__ = ["Answer", "Frontier", "Verdict", "frontier", "largest", "verdict"]
