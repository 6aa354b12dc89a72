"""Lesson 8: attention that writes out its scores and attention that does not; the cache and how heads share it."""

from __future__ import annotations

from typing import Final

from memcalc import units
from memcalc.architectures.latent import LatentSpec
from memcalc.architectures.spec import ModelSpec
from memcalc.errors import MemcalcError
from memcalc.learn.case import Case, Json, ask, swept
from memcalc.learn.lesson import Curve, Curves, Lesson, Link, Mark, Question, Rule, Shown, Table, Term, Variable
from memcalc.learn.lessons.variables import PRECISIONS, dashboard
from memcalc.learn.words import each, nearest, times

CONTEXT: Final = Variable(
    "context", "Tokens of text", tuple(2**power for power in range(9, 18)), 8192,
    "How much text the model has before it: a page has some 500 tokens, a novel some 150,000.",
)  # fmt: skip
BOTH: Final = {"eager": "eager", "flash": "sdpa"}
"""What writes out the scores of every pair of tokens; and what torch picks, which works through them in tiles."""
GROWTH: Final = (1.0, 2.0, 3.0, 4.0)
CHOICES: Final = ("not at all", "twice as much", "three times as much", "four times as much")
FOUR = "Twice the text, four times the activations (eager attention)"
TWO = "Twice the text, twice the activations (flash attention)"
SHARED = "Grouped or latent heads shrink the cache"
VALUE: Final = 2
"""Bytes of a cached value in 16 bits."""
MODELS: Final = ("gpt2", "Llama-2-7B", "Llama-3.1-8B", "Qwen2.5-7B", "falcon-7b", "DeepSeek-V2-Lite", "DeepSeek-V3")


def training(case: Case, tokens: int, attention: str = "flash") -> Json:
    return {**case.train(tokens, precision="bf16"), "attention": BOTH[attention]}


def inference(case: Case, tokens: int) -> Json:
    return case.infer(tokens)


def cached(spec: ModelSpec) -> int:
    """Bytes that the cache keeps for each token: keys and values of every block, as the model code stores them."""
    return VALUE * sum(heads * size for layer in range(spec.layers) for heads, size in spec.cache_shape(layer))


def unshared(spec: ModelSpec) -> int:
    """The same if every head kept keys and values of its own (Vaswani et al., arXiv 1706.03762)."""
    values = spec.value_dim if isinstance(spec, LatentSpec) else spec.head_dim
    return VALUE * spec.layers * spec.heads * (spec.head_dim + values)


def activations(case: Case, tokens: int, attention: str) -> int:
    return int(ask(training(case, tokens, attention)).component_peak["activations"])


def growth(case: Case, attention: str) -> tuple[int, int, float]:
    """(half the text, the text, how many times as many activations the whole text needs)."""
    whole = case.reachable(case["context"])
    half = whole // 2
    return half, whole, activations(case, whole, attention) / activations(case, half, attention)


def attending(case: Case) -> ModelSpec:
    """The sizes of a model that has attention; MemcalcError for one that has none (Mamba)."""
    if not cached(case.spec):
        raise MemcalcError(
            f"{case.begins} has no attention: it keeps no scores between tokens and no keys and values, but a state of "
            "one size, however long the text. Choose another model for this lesson",
            "model",
        )
    return case.spec


def question(case: Case) -> Question:
    attending(case)
    half, whole, ratio = growth(case, "eager")
    return Question(
        f"{case.begins} is trained on {half:,} tokens with eager attention, which writes out a score for every pair of "
        f"tokens. How much do its activations grow if the text is twice as long?",
        CHOICES,
        nearest(ratio, GROWTH),
        f"{times(ratio)}: {units.binary(activations(case, half, 'eager'))} become "
        f"{units.binary(activations(case, whole, 'eager'))}. Flash attention never has all scores at once: "
        f"{times(growth(case, 'flash')[2])}.",
    )


def show(case: Case) -> Shown:
    tokens = case.reachable(case["context"])
    xs = [one for one in CONTEXT.values if case.reachable(one) == one]
    spec = attending(case)
    lines = {
        "training, eager": swept(training(case, 1, "eager"), seq_len=xs),
        "training, flash": swept(training(case, 1), seq_len=xs),
        "inference": swept(inference(case, 1), prompt_tokens=xs),
        "the cache alone": [cached(spec) * one for one in xs],
    }
    colours = ("activations", "gradients", "weights", "kv_cache")
    places = tuple(map(float, xs))
    curves = tuple(Curve(name, places, tuple(map(float, sizes)), part)
                   for (name, sizes), part in zip(lines.items(), colours, strict=True))  # fmt: skip
    now = {name: sizes[xs.index(tokens)] for name, sizes in lines.items()}
    marks = tuple(Mark("", float(tokens), float(size), part)
                  for size, part in zip(now.values(), colours, strict=True))  # fmt: skip
    listed = ", ".join(f"{name} {units.binary(size)}" for name, size in now.items())
    return Shown(
        Curves("tokens of text", "GiB on the card", curves, marks, logarithmic=True, rising="powers"),
        f"Memory over the length of the text, both axes in powers. At {tokens:,} tokens: {listed}. At {xs[-1]:,} "
        "tokens: "
        + ", ".join(f"{name} {units.binary(sizes[-1])}" for name, sizes in lines.items()) + ".",
        f"{tokens:,} tokens: {listed}.",
        _formula(case, spec, tokens),
        _rules(case, spec),
        (f"{case.begins} has learned positions for {case.longest:,} tokens only.",) if case.longest else (),
    )  # fmt: skip


def _formula(case: Case, spec: ModelSpec, tokens: int) -> tuple[Term, ...]:
    eager, flash = (activations(case, tokens, name) for name in BOTH)
    one = (eager - flash) / (spec.layers * spec.heads * tokens * tokens)
    return (
        Term("scores of eager", f"{spec.layers} blocks × {spec.heads} heads × {tokens:,}² × {one:.1f} B",
             units.binary(eager - flash)),
        Term("other activations", f"{tokens:,} tokens × {units.binary(flash / tokens)}", units.binary(flash)),
        Term("activations, eager", "both together", units.binary(eager), True),
        Term("cache", f"{tokens:,} tokens × {units.binary(cached(spec))}", units.binary(cached(spec) * tokens)),
        Term("… a head each", f"{spec.heads} heads instead of {_heads(spec)}", units.binary(unshared(spec) * tokens)),
    )  # fmt: skip


def _heads(spec: ModelSpec) -> str:
    if isinstance(spec, LatentSpec):
        return "one latent vector"
    return f"{spec.kv_heads}"


def _rules(case: Case, spec: ModelSpec) -> tuple[Rule, ...]:
    half, whole, eager = growth(case, "eager")
    flash = growth(case, "flash")[2]
    less = unshared(spec) / cached(spec)
    said = (
        f"{units.binary(cached(spec))} for each token instead of {units.binary(unshared(spec))}: {times(less)} less."
        if less > 1.01
        else f"{case.begins} keeps keys and values for every head: {units.binary(cached(spec))} for each token."
    )
    return (
        Rule(FOUR, abs(eager - 4) < 0.4, f"From {half:,} to {whole:,} tokens: {times(eager)}."),
        Rule(TWO, abs(flash - 2) < 0.2, f"From {half:,} to {whole:,} tokens: {times(flash)}."),
        Rule(SHARED, less > 1.01, said),
    )


def remember(case: Case) -> tuple[str, ...]:
    spec = attending(case)
    return (
        "Eager attention keeps a score for every pair of tokens: it grows with the square of the text. Flash attention "
        "keeps none of them, and gives the same result.",
        "Inference keeps keys and values of everything read so far: the cache grows with every token, for every "
        "sequence.",
        f"{case.begins} keeps {units.binary(cached(spec))} for each token. Fewer heads for keys and values, or one "
        "latent vector for all of them, is what makes long texts possible.",
    )


def maps(case: Case) -> tuple[Table, ...]:
    """How models share their cache."""
    rows = []
    for one in case.beside(MODELS):
        spec = one.spec
        rows.append((one.name, _kind(spec), f"{spec.heads}", units.binary(cached(spec)), units.binary(unshared(spec)),
                     each(unshared(spec) / cached(spec)), units.binary(cached(spec) * 32768)))  # fmt: skip
    return (
        Table("The cache of other models, in 16 bits",
              ("model", "keys and values", "heads", "for each token", "a head each", "times less", "for 32,768 tokens"),
              tuple(rows)),
    )  # fmt: skip


def _kind(spec: ModelSpec) -> str:
    if isinstance(spec, LatentSpec):
        return "latent"
    if spec.kv_heads == spec.heads:
        return "every head its own"
    return "one for all" if spec.kv_heads == 1 else f"{spec.kv_heads} groups"


def fixed(case: Case) -> str:
    return f"{case.name}, one text, AdamW, {PRECISIONS['bf16']}; inference in bf16 writes one token."


def links(case: Case) -> tuple[Link, ...]:
    here = dashboard(case, seq=case["context"], precision="bf16")
    return (
        Link("Training, with every kernel of attention", "training", here),
        Link("The cache, its formats and how many sequences fit", "inference", here),
    )


LESSON = Lesson(
    title="Attention and long context",
    idea="Long texts cost twice: scores between all pairs of tokens, if they are kept, and a cache that grows.",
    variables=(CONTEXT,),
    fixed=fixed,
    question=question,
    show=show,
    remember=remember,
    links=links,
    maps=maps,
    map_title="The cache of other models",
    terms=(
        "token",
        "head",
        "eager attention",
        "flash attention",
        "activations",
        "KV cache",
        "grouped-query attention",
        "latent attention",
        "inference",
    ),
)
