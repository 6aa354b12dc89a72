"""Compare: up to four pinned scenarios on one axis, and what differs between them."""

from memcalc.ui import compare_page

compare_page.show()
