"""Make it fit: changes ranked by what they save and cost, and how far a card goes."""

from memcalc.ui import decide_page

decide_page.show()
