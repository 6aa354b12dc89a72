"""The commands that answer with tables: fit, advise, sweep, compare."""
