"""What the visitor chose, and the scenarios that it means. Pure: no Streamlit, no global state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memcalc.ui.own_models import Own


@dataclass(frozen=True)
class Settings:
    """Every setting of the first page; the defaults are the page's."""

    model: str | int = "Llama-3.1-8B"  # a name in the list of models, or a number of parameters
    gpu: str | None = "16GB"
    batch: int = 1
    seq_len: int = 2048
    precision: str = "bf16"
    optimizer: str = "adamw"
    method: str = "full"
    checkpointing: bool = False
    inference_precision: str = "bf16"
    new_tokens: int = 128
    free: int | None = None  # bytes that are free on the card now, in place of its capacity
    reserve: int = 0  # bytes to keep free
    own: Own | None = None  # the model that a visitor brought, in place of a catalogue's
    longest: int | None = None  # tokens that the model has learned positions for, where that is a limit
    generates: bool = True  # whether the model writes text; else it is used in one pass
    used: str = ""  # how, in words
    two_sided: bool = False  # whether it has an encoder and a decoder, each with positions of its own
    positions: int = 0  # how many its encoder always has; 0: as many as there are tokens
    heard: str = ""  # the same, in words

    @property
    def shortened(self) -> bool:
        """Whether the model cannot read as many tokens as were chosen."""
        return not self.positions and self.longest is not None and self.seq_len + self._more > self.longest

    @property
    def _more(self) -> int:
        """Tokens beside the prompt that the model needs positions for."""
        return self.new_tokens - 1 if self.generates and not self.two_sided else 0

    def _reachable(self, more: int = 0) -> int:
        """The chosen length, or what the model's learned positions leave beside ``more`` new tokens."""
        if self.positions:
            return self.positions
        return self.seq_len if self.longest is None else max(1, min(self.seq_len, self.longest - more))

    def _common(self) -> dict[str, Any]:
        model: Any = {"parameters": self.model} if isinstance(self.model, int) else self.model
        if self.own is not None:
            model = self.own.model
        scenario: dict[str, Any] = {"model": model, "batch": self.batch}
        hardware = self.hardware()
        return {**scenario, "hardware": hardware} if hardware else scenario

    def hardware(self) -> dict[str, Any] | None:
        """The card to judge against; None without one."""
        if not self.gpu and self.free is None:
            return None
        given = {"gpu": self.gpu, "free": self.free, "reserve": self.reserve or None}
        return {name: value for name, value in given.items() if value is not None}

    def training(self) -> dict[str, Any]:
        """The training scenario of the contract."""
        return {
            **self._common(),
            "task": "train",
            "precision": self.precision,
            "seq_len": self._reachable(),
            "training": {
                "method": self.method,
                "optimizer": self.optimizer,
                "checkpointing": "full" if self.checkpointing else "none",
            },
        }

    def inference(self) -> dict[str, Any]:
        """The inference scenario: the same model, as many sequences, prompts of the same length; one pass where the
        model writes nothing."""
        use = {"new_tokens": self.new_tokens} if self.generates else {"runtime": "forward", "new_tokens": 0}
        return {
            **self._common(),
            "task": "infer",
            "precision": self.inference_precision,
            "inference": {"prompt_tokens": self._reachable(self._more), **use},
        }
