"""A decoder-only transformer over bytes. B: examples, T: places, W: width, N: heads, D: width of a head, V: tokens."""

import torch
from torch import nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from jobs.models.initial import set_initial_bound
from jobs.spec.model import GptSpec

_DEVIATION = 0.02
_BOUND = _DEVIATION * 3**0.5
"""A uniform distribution up to this bound has the deviation 0.02 of GPT-2."""


class Gpt(nn.Module):
    """Token and position embeddings, blocks of attention and feed-forward layers, a linear layer to the tokens."""

    def __init__(self, spec: GptSpec, tokens: int) -> None:
        super().__init__()
        self.token_embedding = _embedding(tokens, spec.width)
        self.position_embedding = _embedding(spec.context, spec.width)
        self.dropout = nn.Dropout(spec.dropout)
        self.blocks = nn.Sequential(*(Block(spec) for _ in range(spec.layers)))
        self.norm = nn.LayerNorm(spec.width, bias=False)
        self.head = _linear(spec.width, tokens)

    def forward(self, tokens_BT: torch.Tensor) -> torch.Tensor:
        positions_TW = self.position_embedding.weight[: tokens_BT.shape[1]]
        hidden_BTW = self.dropout(self.token_embedding(tokens_BT) + positions_TW)
        logits_BTV: torch.Tensor = self.head(self.norm(self.blocks(hidden_BTW)))
        return logits_BTV


class Block(nn.Module):
    """Attention, then a feed-forward layer, each on the normalised stream and added to it."""

    def __init__(self, spec: GptSpec) -> None:
        super().__init__()
        narrow = _BOUND / (2 * spec.layers) ** 0.5
        self.heads, self.attention_dropout = spec.heads, spec.dropout
        self.attention_norm = nn.LayerNorm(spec.width, bias=False)
        self.attention_in = _linear(spec.width, 3 * spec.width)
        self.attention_out = _linear(spec.width, spec.width, narrow)
        self.feed_norm = nn.LayerNorm(spec.width, bias=False)
        self.feed_in = _linear(spec.width, 4 * spec.width)
        self.feed_out = _linear(4 * spec.width, spec.width, narrow)
        self.dropout = nn.Dropout(spec.dropout)

    def forward(self, hidden_BTW: torch.Tensor) -> torch.Tensor:
        hidden_BTW = hidden_BTW + self.dropout(self._attend(self.attention_norm(hidden_BTW)))
        fed_BTW: torch.Tensor = hidden_BTW + self.dropout(self._feed(self.feed_norm(hidden_BTW)))
        return fed_BTW

    def _attend(self, hidden_BTW: torch.Tensor) -> torch.Tensor:
        batch, places, width = hidden_BTW.shape
        joint = self.attention_in(hidden_BTW).view(batch, places, 3, self.heads, width // self.heads)
        query_BNTD, key_BNTD, value_BNTD = joint.permute(2, 0, 3, 1, 4).unbind(0)
        mixed_BNTD = scaled_dot_product_attention(
            query_BNTD,
            key_BNTD,
            value_BNTD,
            is_causal=True,
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        mixed_BTW = mixed_BNTD.transpose(1, 2).reshape(batch, places, width)
        attended_BTW: torch.Tensor = self.attention_out(mixed_BTW)
        return attended_BTW

    def _feed(self, hidden_BTW: torch.Tensor) -> torch.Tensor:
        fed_BTW: torch.Tensor = self.feed_out(gelu(self.feed_in(hidden_BTW), approximate="tanh"))
        return fed_BTW


def _linear(width_in: int, width_out: int, bound: float = _BOUND) -> nn.Linear:
    return set_initial_bound(nn.Linear(width_in, width_out, bias=False), bound)


def _embedding(rows: int, width: int) -> nn.Embedding:
    """Made around a tensor: torch's own constructor draws values, for which on the meta device it loads its compiler,
    1.2 seconds and 70 MB for every process that trains.
    """
    weight = torch.empty(rows, width)
    embedding: nn.Embedding = nn.Embedding.from_pretrained(weight, freeze=False)  # type: ignore[no-untyped-call]
    return set_initial_bound(embedding, _BOUND)
