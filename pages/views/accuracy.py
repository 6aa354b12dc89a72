"""Accuracy: estimates against traces of real model code and against published measurements."""

from memcalc.ui import accuracy_page, glossary

accuracy_page.show()
glossary.row(
    ("trace", "peak", "temporary and overhead", "allocated", "reserved", "CUDA context", "range", "GiB and GB")
)
