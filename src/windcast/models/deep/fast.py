"""Training on the CPU in fewer and larger kernels: dropout from random bytes, an encoder layer with its own derivative.

A patch transformer's matrices are small, so that a plain step spends its time on dropout's random numbers, on attention
with heads of a few units and on passes over memory, not on arithmetic. The numbers are those of the plain layers.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function

SMALLEST = 1e-5  # of a variance, as nn.LayerNorm has it


class Dropout(nn.Dropout):
    """On the CPU the share dropped is a multiple of 1/256: a random byte a number, drawn eight at a time."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or not self.p or input.device.type != "cpu":
            return super().forward(input)
        return input * mask(input.shape, self.p)


def mask(shape: tuple[int, ...], share: float) -> Tensor:
    """Zeros for the share that is dropped, else what keeps the mean at 1."""
    dropped = round(256 * share)
    count = int(torch.Size(shape).numel())
    chance = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None).view(torch.uint8)[:count]
    return (chance >= dropped).float().mul_(256 / (256 - dropped)).view(shape)


def layer(tokens: Tensor, plain: Any, batch: int) -> Tensor:
    """What `plain`, a `network.Layer` in training, makes of tokens [width, batch * count]: in this order of axes every
    product is a large one. The normalisations' own weights are taken into the matrices that follow them.
    """
    matrices: list[Tensor] = []
    for norm, linear in ((plain.before, plain.attend), (None, plain.gather), (plain.between, plain.widen)):
        if norm is None:
            matrices += [linear.weight, linear.bias]
        else:
            matrices += [linear.weight * norm.weight, torch.addmv(linear.bias, linear.weight, norm.bias)]
    matrices += [plain.narrow.weight, plain.narrow.bias]
    kept = mask((plain.widen.out_features, tokens.shape[1]), plain.drop.p) if plain.drop.p else None
    return cast(Tensor, _Layer.apply(tokens, *matrices, kept, plain.heads, batch))


class _Layer(Function):
    """Attention and two linear layers; weights [out, in]. Tokens, and all between, have their units first."""

    @staticmethod
    def forward(
        ctx: Any,
        tokens: Tensor,
        attend: Tensor,
        attend_bias: Tensor,
        gather: Tensor,
        gather_bias: Tensor,
        widen: Tensor,
        widen_bias: Tensor,
        narrow: Tensor,
        narrow_bias: Tensor,
        kept: Tensor | None,
        heads: int,
        batch: int,
    ) -> Tensor:
        width, count = tokens.shape[0] // heads, tokens.shape[1] // batch
        scale = width**-0.5
        before, before_scale = _normed(tokens)
        parts = torch.addmm(attend_bias[:, None], attend, before).view(3, heads, width, batch, count)
        q, k, v = parts.permute(0, 3, 1, 2, 4).reshape(3, batch * heads, width, count).unbind(0)
        shares = torch.softmax(torch.baddbmm(q.new_empty(1), q.mT, k, beta=0, alpha=scale), dim=-1)
        seen = torch.bmm(v, shares.mT).view(batch, heads, width, count).permute(1, 2, 0, 3).reshape(tokens.shape)
        middle = torch.addmm(gather_bias[:, None], gather, seen).add_(tokens)
        between, between_scale = _normed(middle)
        hidden = torch.addmm(widen_bias[:, None], widen, between).relu_()
        if kept is not None:
            hidden.mul_(kept)
        ctx.save_for_backward(
            *(before, before_scale, q, k, v, shares, seen, between, between_scale, hidden),
            *(attend, gather, widen, narrow),
        )
        ctx.kept = 1.0 if kept is None else float(kept.amax())
        return torch.addmm(narrow_bias[:, None], narrow, hidden).add_(middle)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        (grad,) = grads
        before, before_scale, q, k, v, shares, seen, between, between_scale, hidden, *matrices = ctx.saved_tensors
        attend, gather, widen, narrow = matrices
        count, width = q.shape[2], q.shape[1]
        heads = len(attend) // 3 // width
        batch, scale = len(q) // heads, width**-0.5
        # what was dropped or negative is 0 in hidden
        raised = torch.ops.aten.threshold_backward((ctx.kept * narrow).mT @ grad, hidden, 0)
        of_middle = _back(widen.mT @ raised, between, between_scale).add_(grad)
        of_seen = (gather.mT @ of_middle).view(heads, width, batch, count).permute(2, 0, 1, 3).reshape(q.shape)
        of_shares = torch.ops.aten._softmax_backward_data(torch.bmm(of_seen.mT, v), shares, -1, q.dtype)
        of_parts = q.new_empty(3, *q.shape)
        torch.baddbmm(q.new_empty(1), k, of_shares.mT, beta=0, alpha=scale, out=of_parts[0])
        torch.baddbmm(q.new_empty(1), q, of_shares, beta=0, alpha=scale, out=of_parts[1])
        torch.bmm(of_seen, shares, out=of_parts[2])
        of_parts = of_parts.view(3, batch, heads, width, count).permute(0, 2, 3, 1, 4).reshape(len(attend), -1)
        of_tokens = _back(attend.mT @ of_parts, before, before_scale).add_(of_middle)
        found = [of_tokens]
        for back, given in ((of_parts, before), (of_middle, seen), (raised, between), (grad, hidden)):
            found += [back @ given.mT, back.sum(1)]
        return (*found, None, None, None)


def _normed(tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Every token in units of its own, and one over its deviation."""
    centred = tokens - tokens.mean(0)
    scale = torch.rsqrt((centred * centred).mean(0).add_(SMALLEST))
    return centred.mul_(scale), scale


def _back(grad: Tensor, normed: Tensor, scale: Tensor) -> Tensor:
    """From the gradient of what `_normed` returned to that of what it was given."""
    return (grad - grad.mean(0)).addcmul_(normed, (grad * normed).mean(0), value=-1).mul_(scale)
