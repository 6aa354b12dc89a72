"""What would make it fit: changes ranked by what they save and cost, and the cheapest set that is enough."""

from memcalc.advise.advice import Advice, Item, advise
from memcalc.advise.changes import Change, Cost
from memcalc.advise.plan import Plan, plan

__all__ = ["Advice", "Change", "Cost", "Item", "Plan", "advise", "plan"]
