"""BERT, RoBERTa (and XLM-RoBERTa) and DistilBERT: learned positions, LayerNorm after attention and feed-forward, biases
everywhere, dropout.

Mirrors transformers 5.23 models/{bert,roberta,xlm_roberta,distilbert}/modeling_*.py.
"""

from __future__ import annotations

from typing import ClassVar

from memcalc.architectures.attention import attention
from memcalc.architectures.encoder import Block, Encoder, LinearLayer, Prefixes, make_block, make_norm
from memcalc.architectures.layers import Linear, Maker, activation
from memcalc.architectures.program import required, resident
from memcalc.architectures.run import Run
from memcalc.errors import ScenarioError
from memcalc.formats import Format
from memcalc.tensors import ops
from memcalc.tensors.ops.elementwise import fresh
from memcalc.tensors.tape import Tape
from memcalc.tensors.tensor import Parameter, Tensor


class Bert(Encoder):
    """Tables of words, positions and segments; a pooled first token for the label."""

    linear_names: ClassVar[tuple[str, ...]] = ("query", "key", "value", "dense")
    peft_targets: ClassVar[tuple[str, ...]] = ("query", "value")
    head_prefixes: ClassVar[Prefixes] = {"masked-lm": ("cls.",), "classification": ("classifier.",), "none": ()}
    drops_attended: ClassVar[bool] = True
    attention_names: ClassVar[tuple[str, str, str, str]] = (
        "attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense",
    )  # fmt: skip
    norm_names: ClassVar[tuple[str, str]] = ("attention.output.LayerNorm", "output.LayerNorm")
    ffn_names: ClassVar[tuple[str, str]] = ("intermediate.dense", "output.dense")

    def build(self) -> None:
        self.build_tables()
        spec, h = self.spec, self.spec.hidden
        layers: list[LinearLayer | str] = [
            *((name, h, h) for name in self.attention_names),
            self.norm_names[0],
            (self.ffn_names[0], h, spec.ffn),
            (self.ffn_names[1], spec.ffn, h),
            self.norm_names[1],
        ]
        self.blocks = [make_block(self.maker, one.label, one.repeat, layers, h) for one in self.plan]

    def build_tables(self) -> None:
        """The tables beside that of the words, and the norm over their sum."""
        self.positions = self.maker.parameter("position_embeddings.weight", self.spec.rows, self.spec.hidden)
        self.types = self.maker.parameter("token_type_embeddings.weight", self.spec.types, self.spec.hidden)
        self.embedding_norm = make_norm(self.maker, "LayerNorm", self.spec.hidden)

    def build_head(self) -> None:
        make, spec, h = self.maker, self.spec, self.spec.hidden
        if spec.head == "masked-lm":
            self.bias = make.parameter("cls.predictions.bias", spec.vocab)
            self.transform = make.linear("cls.predictions.transform", "dense", h, h, True, kept=True)
            self.transform_norm = make_norm(make, "cls.predictions.transform.LayerNorm", h)
            return
        self.pooler = make.linear("pooler", "dense", h, h, True)
        if spec.head == "classification":
            self.classifier = make.linear("", "classifier", h, spec.labels, True, kept=True, saved=True)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        shape = (1, self.spec.rows)
        return [("position_ids", shape, Format.INT64), ("token_type_ids", shape, Format.INT64)]

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.positions, self.types]

    def position_ids(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        """The positions: a view of the model's buffer."""
        return resident(tape, (1, run.length), "position ids")

    def embed(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        position_ids = self.position_ids(tape, ids, run)
        type_ids = fresh(tape, position_ids.shape, Format.INT64, "gather (segments)")
        inputs_embeds = ops.embedding(ids, self.table)
        required(tape, run, inputs_embeds)
        types = ops.embedding(type_ids.view(run.batch, run.length), self.types)
        embeddings = ops.add(inputs_embeds, types)
        positions = ops.embedding(position_ids, self.positions)
        embeddings = ops.add(embeddings, positions)
        return self._normed(embeddings, run)

    def _normed(self, embeddings: Tensor, run: Run) -> Tensor:
        embeddings = self.embedding_norm(embeddings)
        return ops.dropout(embeddings, self.spec.embedding_dropout if run.training else 0.0)

    def block(self, index: int, hidden: Tensor, run: Run, mask: Tensor | None) -> Tensor:
        one, p = self.blocks[index], self.spec.residual_dropout if run.training else 0.0
        attended, weights = self._attention(one, hidden, run, mask, p if self.drops_attended else 0.0)
        out = self._feed_forward(one, attended, p)
        del weights, attended  # local variables of the block
        return out

    def _feed_forward(self, one: Block, attended: Tensor, p: float) -> Tensor:
        inner = self._inner(one.linears[self.ffn_names[0]], attended)
        out = _added(one, self.ffn_names[1], self.norm_names[1], inner, attended, p)
        del inner
        return out

    def _inner(self, linear: Linear, x: Tensor) -> Tensor:
        x = linear(x)
        return activation(self.spec.activation, x)

    def _attention(
        self, one: Block, hidden: Tensor, run: Run, mask: Tensor | None, p: float
    ) -> tuple[Tensor, Tensor | None]:
        context, weights = self._self_attention(one, hidden, run, mask)
        return _added(one, self.attention_names[3], self.norm_names[0], context, hidden, p), weights

    def _self_attention(
        self, one: Block, hidden: Tensor, run: Run, mask: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        spec = self.spec
        shape = (run.batch, spec.heads, run.length, spec.head_dim)
        query, key, value = (one.linears[name](hidden).view(*shape) for name in self.attention_names[:3])
        p = spec.attention_dropout if run.training else 0.0
        return attention(query, key, value, mask, run, p, None, narrow=False)

    def pooled(self, hidden: Tensor) -> Tensor | None:
        if self.spec.head == "masked-lm":
            return None
        pooled = self.pooler(ops.first_token(hidden))
        return ops.tanh(pooled)

    def headed(self, hidden: Tensor, pooled: Tensor | None, run: Run) -> Tensor:
        if pooled is not None:
            pooled = ops.dropout(pooled, self.spec.head_dropout if run.training else 0.0)
            return self.classifier(pooled)
        x = self.transform(hidden)
        x = activation(self.spec.activation, x)
        x = self.transform_norm(x)
        return Linear(self.table, bias=self.bias)(x)


def _added(one: Block, linear: str, norm: str, x: Tensor, residual: Tensor, p: float) -> Tensor:
    """Linear layer, dropout, and the norm over the sum with the residual."""
    x = one.linears[linear](x)
    x = ops.dropout(x, p)
    return one.norms[norm](ops.add(x, residual))


class Roberta(Bert):
    """Positions counted from the tokens, past the padding token's; a head of two layers on the first token."""

    head_prefixes: ClassVar[Prefixes] = {"masked-lm": ("lm_head.",), "classification": ("classifier.",), "none": ()}

    def build_tables(self) -> None:
        self.types = self.maker.parameter("token_type_embeddings.weight", self.spec.types, self.spec.hidden)
        self.embedding_norm = make_norm(self.maker, "LayerNorm", self.spec.hidden)
        self.positions = self.maker.parameter("position_embeddings.weight", self.spec.rows, self.spec.hidden)

    def build_head(self) -> None:
        make, spec, h = self.maker, self.spec, self.spec.hidden
        if spec.head == "masked-lm":
            self.bias = make.parameter("lm_head.bias", spec.vocab)
            self.transform = make.linear("lm_head", "dense", h, h, True, kept=True)
            self.transform_norm = make_norm(make, "lm_head.layer_norm", h)
        elif spec.head == "classification":
            self.pooler = make.linear("classifier", "dense", h, h, True, kept=True, saved=True)
            self.classifier = make.linear("classifier", "out_proj", h, spec.labels, True, kept=True, saved=True)
        else:
            self.pooler = make.linear("pooler", "dense", h, h, True)

    def position_ids(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        shape = (run.batch, run.length)
        flags = fresh(tape, shape, Format.BOOL, "ne")
        mask = fresh(tape, shape, Format.INT32, "to")
        del flags
        sums = fresh(tape, shape, Format.INT64, "cumsum")
        narrow = fresh(tape, shape, Format.INT32, "to")
        del sums
        narrow = fresh(tape, shape, Format.INT32, "add")
        narrow = fresh(tape, shape, Format.INT32, "mul")
        wide = fresh(tape, shape, Format.INT64, "to")
        found = fresh(tape, shape, Format.INT64, "position ids")
        del mask, narrow, wide
        return found

    def pooled(self, hidden: Tensor) -> Tensor | None:
        return super().pooled(hidden) if self.spec.head == "none" else None

    def headed(self, hidden: Tensor, pooled: Tensor | None, run: Run) -> Tensor:
        if self.spec.head == "masked-lm":
            x = self.transform(hidden)
            x = ops.gelu(x)
            x = self.transform_norm(x)
            return Linear(self.table, bias=self.bias)(x)
        p = self.spec.head_dropout if run.training else 0.0
        x = ops.first_token(hidden)
        x = ops.dropout(x, p)
        x = self.pooler(x)
        x = ops.tanh(x)
        x = ops.dropout(x, p)
        return self.classifier(x)


class DistilBert(Bert):
    """No segments, no pooler, no dropout after attention; other names."""

    linear_names = ("q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2")
    peft_targets = linear_names
    drops_attended = False
    head_prefixes: ClassVar[Prefixes] = {
        "masked-lm": ("vocab_",),
        "classification": ("pre_classifier.", "classifier."),
        "none": (),
    }
    attention_names = ("attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin")
    norm_names = ("sa_layer_norm", "output_layer_norm")
    ffn_names = ("ffn.lin1", "ffn.lin2")

    def build_tables(self) -> None:
        self.positions = self.maker.parameter("position_embeddings.weight", self.spec.rows, self.spec.hidden)
        self.embedding_norm = make_norm(self.maker, "LayerNorm", self.spec.hidden)

    def build_head(self) -> None:
        make, spec, h = self.maker, self.spec, self.spec.hidden
        if spec.head == "masked-lm":
            self.transform = make.linear("", "vocab_transform", h, h, True)
            self.transform_norm = make_norm(make, "vocab_layer_norm", h)
            self.bias = make.parameter("vocab_projector.bias", spec.vocab)
        elif spec.head == "classification":
            _refuse_wrapped_twice(make)
            self.pooler = make.linear("", "pre_classifier", h, h, True, saved=True)
            self.classifier = make.linear("", "classifier", h, spec.labels, True, kept=True, saved=True)

    def buffers(self) -> list[tuple[str, tuple[int, ...], Format]]:
        return [("position_ids", (1, self.spec.rows), Format.INT64)]

    def embeddings(self) -> list[Parameter]:
        return [self.table, self.positions]

    def embed(self, tape: Tape, ids: Tensor, run: Run) -> Tensor:
        inputs_embeds = ops.embedding(ids, self.table)
        required(tape, run, inputs_embeds)
        positions = ops.embedding(self.position_ids(tape, ids, run), self.positions)
        embeddings = ops.add(inputs_embeds, positions)
        return self._normed(embeddings, run)

    def _feed_forward(self, one: Block, attended: Tensor, p: float) -> Tensor:
        x = one.linears["ffn.lin1"](attended)
        x = activation(self.spec.activation, x)
        x = one.linears["ffn.lin2"](x)
        x = ops.dropout(x, p)
        return one.norms["output_layer_norm"](ops.add(x, attended))

    def pooled(self, hidden: Tensor) -> Tensor | None:
        return None

    def headed(self, hidden: Tensor, pooled: Tensor | None, run: Run) -> Tensor:
        if self.spec.head == "masked-lm":
            return super().headed(hidden, None, run)
        x = ops.first_token(hidden)
        x = self.pooler(x)
        x = ops.relu(x)
        x = ops.dropout(x, self.spec.head_dropout if run.training else 0.0)
        return self.classifier(x)


def _refuse_wrapped_twice(make: Maker) -> None:
    """PEFT trains whole what is called "…classifier", which fails for a layer that is adapted as well
    [peft 0.21 utils/other.py, AuxiliaryTrainingWrapper.check_module]."""
    if make.lora is not None and make.lora.covers("pre_classifier"):
        raise ScenarioError(
            "PEFT trains pre_classifier whole and cannot adapt it too, as all-linear would: name the blocks' layers",
            "training.lora.targets",
            [*DistilBert.linear_names],
        )
