"""Live GPUs: this machine's cards as they are now, what would fit on them, and a run beside its estimate."""

from memcalc.ui import glossary, gpus_page

gpus_page.show()
glossary.row(("allocated", "reserved", "CUDA context", "workspace", "MIG device", "range", "GiB and GB"))
