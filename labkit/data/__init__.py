"""Where data sets come from: Olivetti, CelebA and dSprites, found, fetched or drawn."""

from labkit.data.celeba.celeba import celeba
from labkit.data.dsprites import dsprites
from labkit.data.fetch import fetch
from labkit.data.olivetti import olivetti
