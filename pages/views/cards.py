"""Cards: which cards of the catalogue run a scenario."""

from memcalc.ui import cards_view

cards_view.show()
