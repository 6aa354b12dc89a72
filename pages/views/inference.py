"""Inference: weights, cache and temporaries of a generation, and how much more would fit."""

from memcalc.ui import form, inference_settings
from memcalc.ui.form_controls import base
from memcalc.ui.form_page import FormPage
from memcalc.ui.inference_more import below
from memcalc.ui.inference_room import facts

FormPage(
    title="Inference",
    line="What it takes to use a model: the weights, a cache that grows with every token, and working memory.",
    groups=inference_settings.GROUPS,
    scenario_of=lambda states: form.fill(base(states).inference(), inference_settings.ALL, states),
    terms=("KV cache", "workspace", "reserved", "GiB and GB", "16 GB card"),
    more=facts,
    below=below,
).show()
