"""MXNet's operators, written as those of convert.network: one table."""

from convert.importers.mxnet.operators.activations import ACTIVATIONS
from convert.importers.mxnet.operators.arithmetic import ARITHMETIC
from convert.importers.mxnet.operators.kinds import Emitter
from convert.importers.mxnet.operators.layers import LAYERS
from convert.importers.mxnet.operators.normalisation import NORMALISATION
from convert.importers.mxnet.operators.reductions import REDUCTIONS
from convert.importers.mxnet.operators.shaping import SHAPING

OPERATORS: dict[str, Emitter] = {
    **LAYERS,
    **NORMALISATION,
    **ACTIVATIONS,
    **ARITHMETIC,
    **REDUCTIONS,
    **SHAPING,
}
"""Name in the symbol -> what writes it."""

LOSSES = frozenset({
    "SoftmaxOutput", "Softmax", "LinearRegressionOutput", "LogisticRegressionOutput", "MAERegressionOutput", "SVMOutput",
})  # fmt: skip
"""Their second input is a label, which nothing reads when the network is used."""

__all__ = ["LOSSES", "OPERATORS"]
