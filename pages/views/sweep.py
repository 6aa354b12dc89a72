"""Sweep: memory over any two settings, with the frontier of each card."""

from memcalc.ui import map_view

map_view.show()
