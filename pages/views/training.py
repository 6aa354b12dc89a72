"""Training: every setting of a training step, and what each would change right now."""

from memcalc.ui import form, training_settings
from memcalc.ui.form_controls import base
from memcalc.ui.form_page import FormPage

FormPage(
    title="Training",
    line="Every setting that changes the memory of a training step, and what each would change right now.",
    groups=training_settings.GROUPS,
    scenario_of=lambda states: form.fill(base(states).training(), training_settings.ALL, states),
    terms=("micro-batch", "activations", "optimizer states", "gradient checkpointing", "workspace", "reserved",
           "GiB and GB", "16 GB card"),
).show()  # fmt: skip
