"""Lab 03's checks of the conditional pass and of asking for an attribute, put through right and wrong solutions."""

import pytest
import torch

from labkit.labs import lab03
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE

SHAPE, ENCODER, DECODER, MATTERS, GRADIENT = (
    "the reconstruction is the decoder's, of the features' shape",
    "the encoder sees features and condition",
    "the decoder sees latent and condition",
    "another condition gives another picture",
    "gradients reach the encoder through the decoder",
)
TWO, COLUMN, OTHERS, LATENTS, UNTOUCHED = (
    "two sets of pictures, one picture per latent",
    "the column is 1 in the first and −1 in the second",
    "every other column stays",
    "both sets have the latents given",
    "the condition handed in stays as it was",
)


def through(encode, decode, features, condition):
    z = encode(torch.cat((features, condition), 1))
    return decode(torch.cat((z, condition), 1))


def by_hstack(encode, decode, features, condition):
    return decode(torch.hstack([encode(torch.hstack([features, condition])), condition]))


def joined(into_encoder, into_decoder, after=lambda z: z):
    """A pass with other ways of joining."""

    def wrong(encode, decode, x, c):
        return decode(into_decoder(after(encode(into_encoder(x, c))), c))

    return (wrong,)


def both(first, condition):
    return torch.cat((first, condition), 1)


def swapped(first, condition):
    return torch.cat((condition, first), 1)


def blind(first, condition):
    return torch.cat((first, torch.zeros_like(condition)), 1)


def averaged(first, condition):
    return torch.cat((first, condition.mean(0).expand_as(condition)), 1)


def rolled(first, condition):
    return torch.cat((first, condition.roll(1, 0)), 1)


NEVER = {SHAPE: "joined", ENCODER: "joined", DECODER: "joined", MATTERS: "joined", GRADIENT: "joined"}
PASS_RIGHT = {"by cat": (through,), "by hstack": (by_hstack,)}
# Name → solution, and property → part of the hint that it must get.
PASS_WRONG = {
    "no condition at all": (joined(lambda x, c: x, lambda z, c: z), NEVER),
    "stacked below": (joined(lambda x, c: torch.cat((x, x)), both), NEVER),
    "summed": (
        ((lambda *a: through(*a).sum(1)),),
        {SHAPE: "should be"},
    ),
    "encoder blind": (joined(blind, both), {ENCODER: "zeros"}),
    "decoder blind": (joined(both, blind), {DECODER: "zeros"}),
    "both blind": (joined(blind, blind), {ENCODER: "zeros", DECODER: "zeros", MATTERS: "stayed"}),
    "condition first": (joined(both, swapped), {DECODER: "stands first"}),
    "one condition for all": (joined(both, averaged), {DECODER: "same row", MATTERS: "other rows"}),
    "the neighbour's condition": (joined(rolled, both), {ENCODER: "same row", MATTERS: "other rows"}),
    "features changed": (joined(lambda x, c: both(2 * x, c), both), {ENCODER: "unchanged"}),
    "detached": (joined(both, both, lambda z: z.detach()), {GRADIENT: "detach"}),
    "encoder left out": (
        ((lambda encode, decode, x, c: decode(both(x[:, :3], c))),),
        {ENCODER: "never called", DECODER: "never called", GRADIENT: "no gradient"},
    ),
}


def ask(decode, z, condition, column):
    sets = []
    for value in (1.0, -1.0):
        changed = condition.clone()
        changed[:, column] = value
        sets.append(decode(z, changed))
    return tuple(sets)


def ask_by_where(decode, z, condition, column):
    here = torch.arange(condition.shape[1]) == column
    return [decode(z, torch.where(here, value, condition)) for value in (1.0, -1.0)]


def asking(values=(1.0, -1.0), change=lambda c: c.clone(), latents=lambda z, i: z):
    def wrong(decode, z, condition, column):
        sets = []
        for i, value in enumerate(values):
            changed = change(condition)
            changed[:, column] = value
            sets.append(decode(latents(z, i), changed))
        return tuple(sets)

    return (wrong,)


RETURN = dict.fromkeys((TWO, COLUMN, OTHERS, LATENTS), "return")
ASK_RIGHT = {"by copies": (ask,), "by where": (ask_by_where,)}
ASK_WRONG = {
    "swapped": (asking((-1.0, 1.0)), {COLUMN: "swapped"}),
    "unknown for no": (asking((1.0, 0.0)), {COLUMN: "unknown"}),
    "too strong": (asking((3.0, -3.0)), {COLUMN: "to 1 in one"}),
    "asked twice": (asking((1.0, 1.0)), {COLUMN: "one condition"}),
    "all else unknown": (asking(change=torch.zeros_like), {OTHERS: "not asked"}),
    "new latents": (asking(latents=lambda z, i: z + i), {LATENTS: "same z"}),
    "one picture": (
        asking(latents=lambda z, i: z[:1], change=lambda c: c[:1].clone()),
        {TWO: "should give", COLUMN: "", OTHERS: "", LATENTS: ""},
    ),
    "in place": (asking(change=lambda c: c), {UNTOUCHED: "in place"}),
    "one set": ((lambda decode, z, c, k: ask(decode, z, c, k)[0],), RETURN),
    "not decoded": ((lambda decode, z, c, k: (z, z),), RETURN),
}  # fmt: skip


@pytest.mark.parametrize("name", PASS_RIGHT)
def test_a_right_pass_passes(prove, name):
    prove.right(lab03.conditional_pass, PASS_RIGHT[name])


@pytest.mark.parametrize("name", PASS_WRONG)
def test_a_wrong_pass_is_found(prove, name):
    prove.wrong(lab03.conditional_pass, *PASS_WRONG[name])


@pytest.mark.parametrize("name", ASK_RIGHT)
def test_a_right_question_passes(prove, name):
    prove.right(lab03.asking, ASK_RIGHT[name])


@pytest.mark.parametrize("name", ASK_WRONG)
def test_a_wrong_question_is_found(prove, name):
    prove.wrong(lab03.asking, *ASK_WRONG[name])


def test_the_stub_and_the_number_of_solutions(prove):
    prove.stub(lab03.conditional_pass, 1)
    prove.stub(lab03.asking, 1)
    prove.complete(lab03.conditional_pass, PASS_RIGHT, PASS_WRONG)
    prove.complete(lab03.asking, ASK_RIGHT, ASK_WRONG)


def test_the_kits_model_is_the_exercise():
    torch.manual_seed(0)
    model = ConditionalVAE(ConditionalConfig(condition_dim=4, latent_dim=3, size=(16, 16), width=1)).eval()
    x, condition = torch.rand(5, 3, 16, 16), torch.randn(5, 4)
    by_hand = through(model.to_mean, model.decoder, model.encoder(x), condition)
    torch.testing.assert_close(by_hand, model.decode(model.encode(x, condition)[0], condition))
