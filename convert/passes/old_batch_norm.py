"""Batch normalisation that a source wrote out: multiplied by gamma / sqrt(variance + epsilon), and shifted.

TensorFlow 1 writes `x * m + (beta - mean * m)`, some write `(x - mean) / deviation * gamma + beta`; a bias is of this form
too. Once constants are computed, each step scales or shifts channels, and the layer in front takes all of them.
"""

from __future__ import annotations

from convert.network import Network
from convert.passes.affine import ARITHMETIC, BATCH_NORM, fold_affine


def fold_old_batch_norms(network: Network) -> Network:
    """Fold each run of Mul, Div, Add, Sub by constants a channel, and BatchNormalization, into the layer right before it.

    Layers are Conv, ConvTranspose, Gemm and MatMul with constant weights. A node whose result others read too ends the run.
    """
    return fold_affine(network, {*ARITHMETIC, BATCH_NORM})
