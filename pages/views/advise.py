"""Make it fit: changes ranked by what they save and cost, and how far a card goes."""

from memcalc.ui import decide_page, glossary

decide_page.show()
glossary.row(("micro-batch", "optimizer states", "gradient checkpointing", "LoRA", "quantisation", "ZeRO", "reserved",
              "range", "16 GB card"))  # fmt: skip
