"""Accuracy: estimates against traces of real model code and against published measurements."""

from memcalc.ui import accuracy_page

accuracy_page.show()
