"""Glossary: each term in one sentence, with its formula."""

from memcalc.ui import glossary

glossary.show()
