"""Which modules a checkpoint leaves unquantised: the lists of names and patterns in a ``quantization_config``.

Every method has its own dialect: parts of names (``mlp.gate``), names with stars (``model.layers.*.self_attn*``),
regular expressions (``re:.*lm_head``). Here a plain entry matches a module if its parts stand in the module's name one
after another, which is what transformers, vLLM and AutoAWQ make of it for all names that exist [transformers 5.23
quantizers/quantizers_utils.py: should_convert_module; compressed-tensors utils/match.py; modelopt: fnmatch].

The patterns come from strangers. No regular expression of theirs is run: a small part of the language is understood
and written anew, anything else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache

MOST = 20_000
"""Entries: a list that names every norm and router of DeepSeek-V3 has some 500."""
LONGEST = 200
"""Characters of an entry."""
MOST_OPEN = 3
"""Parts of a pattern that match any length: more could make matching slow."""
_ALIASES = (
    (re.compile(r"^(?:[\w.]*?\.)?(?:layers|h|blocks|block)\.(?=[\d*(\[\\.])"), "model.layers."),
    (re.compile(r"\.block_sparse_moe\b"), ".mlp"),
)
"""Where other code has the layers, and what transformers 5 calls the mixtures of older checkpoints."""
_TOKEN = re.compile(
    r"(?P<open>\.\*|\.\+|\\d\+|\[0-9\]\+|\\w\+)|(?P<class>\[(?:\d-\d|\d)+\]|\\d)|(?P<escaped>\\[.\-_])"
    r"|(?P<bar>\|)|(?P<start>\((?:\?:)?)|(?P<end>\))|(?P<any>\.)|(?P<word>[\w-]+)"
)
_SAFE = {".*": ".*", ".+": ".+", r"\d+": "[0-9]+", "[0-9]+": "[0-9]+", r"\w+": "[0-9A-Za-z_]+", r"\d": "[0-9]"}


_NEVER = re.compile(
    r"(^|\.)(visual|vision\w*|multi_modal_projector|mm_projector|audio_tower|embed_vision|embed_audio)\."
    r"|(norm|norm\d|embed_tokens|bias|rotary_emb)$"
)
"""Names that no list needs: norms, embeddings and biases stay as they are anyhow, and what sees or hears is not
described."""


class PatternError(ValueError):
    """An entry that is not understood."""


@dataclass(frozen=True)
class Modules:
    """Names and patterns of modules, each as its checkpoint has it."""

    entries: tuple[str, ...] = ()
    _plain: frozenset[str] = field(init=False, repr=False, compare=False)
    _pattern: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.entries) > MOST:
            raise PatternError(f"more than {MOST:,} entries")
        plain, patterns = set(), []
        for one in self.entries:
            if len(one) > LONGEST:
                raise PatternError(f"an entry of more than {LONGEST} characters")
            text = _renamed(one.removeprefix("re:"))
            if re.fullmatch(r"[\w.-]+", text):
                plain.add(text.strip("."))
            else:
                patterns.append(_rewritten(text, one.startswith("re:") or re.search(r"[\\(|+$]", text) is not None))
        object.__setattr__(self, "_plain", frozenset(plain))
        joined = "|".join(dict.fromkeys(patterns))
        object.__setattr__(self, "_pattern", re.compile(rf"(?:^|\.)(?:{joined})") if patterns else None)

    def has(self, module: str) -> bool:
        """Whether ``module`` (``model.layers.3.mlp.gate_proj``) is among them.

        >>> Modules(("lm_head", "re:.*mlp.gate$")).has("model.layers.3.mlp.gate_proj")
        False
        """
        parts = module.split(".")
        if self._plain and any(
            ".".join(parts[first:last]) in self._plain
            for first in range(len(parts))
            for last in range(first + 1, len(parts) + 1)
        ):
            return True
        return self._pattern is not None and self._pattern.search(module) is not None


def _renamed(entry: str) -> str:
    entry = entry.strip().removeprefix("^")
    for pattern, new in _ALIASES:
        entry = pattern.sub(new, entry)
    return entry


def _rewritten(text: str, regular: bool) -> str:
    """A pattern in words of our own: of a regular expression (``regular``), or of a name with stars."""
    if text.count("*") + text.count("+") > MOST_OPEN:
        raise PatternError(f"{text[:60]!r} has more than {MOST_OPEN} open parts")
    if not regular:
        if not re.fullmatch(r"[\w.*-]+", text):
            raise PatternError(f"{text[:60]!r} is not a name with stars")
        return ".*".join(re.escape(part) for part in text.split("*")) + r"(?=\.|$)"  # up to the end of a name
    end, found, depth = text.endswith("$"), [], 0
    rest = text.removesuffix("$")
    while rest:
        token = _TOKEN.match(rest)
        if token is None:
            raise PatternError(f"{text[:60]!r} has {rest[:12]!r}, which is not understood")
        depth += {"start": 1, "end": -1}.get(str(token.lastgroup), 0)
        if depth < 0 or depth > 1 or (token.lastgroup == "bar" and not depth):
            raise PatternError(f"{text[:60]!r} has alternatives that are not understood")
        found.append(_token(str(token.lastgroup), token[0]))
        rest = rest[token.end() :]
    if depth:
        raise PatternError(f"{text[:60]!r} has an open bracket")
    return "".join(found) + ("$" if end else "")


def _token(kind: str, text: str) -> str:
    if kind == "start":
        return "(?:"
    if kind in ("end", "bar", "any"):
        return text
    if kind == "escaped":
        return re.escape(text[1:])
    return _SAFE.get(text, text) if kind in ("open", "class") else re.escape(text)


@lru_cache(maxsize=1024)
def kept_layers(kept: Modules, only: Modules | None, rest: str, layers: tuple[int, ...]) -> int:
    """In how many of ``layers`` the module ``rest`` (``mlp.gate_proj``) is left unquantised: it is among ``kept``, or
    not among ``only``, where there is such a list."""
    names = [f"model.layers.{layer}.{rest}" for layer in layers]
    return sum(kept.has(one) or (only is not None and not only.has(one)) for one in names)


def needed(entries: Iterable[str]) -> tuple[str, ...]:
    """``entries`` without doubles and without those that say nothing, in their order."""
    return tuple(one for one in dict.fromkeys(entries) if not (re.fullmatch(r"[\w.]+", one) and _NEVER.search(one)))


def modules(entries: Iterable[str]) -> Modules:
    """The modules that a list names."""
    return Modules(needed(entries))
