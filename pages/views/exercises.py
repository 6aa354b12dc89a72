"""Exercises: the reader estimates first, then compares with memcalc; three levels, and a sheet to print."""

from memcalc.ui import exercises_page

exercises_page.show()
