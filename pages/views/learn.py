"""Workshop: ten short lessons, for a reader alone or in front of a room."""

from memcalc.ui import learn_page

learn_page.show()
