"""Cards: which cards of the catalogue run a scenario."""

from memcalc.ui import cards_view, glossary

cards_view.show()
glossary.row(("range", "workspace", "reserved", "CUDA context", "bandwidth", "GiB and GB", "16 GB card"))
