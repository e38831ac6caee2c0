"""Forms of several TensorFlow operators that are one operator here."""

from __future__ import annotations

from convert.importers.nhwc.axes import along
from convert.importers.nhwc.layers import Pads, Windows, conv, depthwise
from convert.importers.nhwc.sizes import as_sizes
from convert.importers.tensorflow.graph import Op
from convert.importers.tensorflow.reading import Reading, whole_numbers

_SMALL = 1e-6
_SUMS = ("Maximum", "Add", "AddV2")


def is_softmax(reading: Reading, op: Op) -> bool:
    """Reshape(Softmax(Reshape(x, [-1, C])), shape of x), as TensorFlow 1 writes a Softmax of more than two axes."""
    softmax = reading.maker(op.inputs[0], "Softmax")
    flat = reading.maker(softmax.inputs[0], "Reshape") if softmax is not None else None
    if flat is None or reading.is_unread(flat.inputs[0]) or reading.is_unread(flat.name):
        return False
    builder, x = reading.builder, flat.inputs[0]
    wanted = builder.value(op.inputs[1])
    if wanted is None or builder.value(x) is not None:
        return False
    shape = builder.shape(x)
    if not shape or as_sizes(wanted) != shape or builder.shape(flat.name)[-1] != shape[-1]:
        return False
    along(builder, op.name, x, "Softmax", -1)
    return True


def is_unit_length(reading: Reading, op: Op) -> bool:
    """Vectors of length 1: x * rsqrt(max(sum(x^2), epsilon)), or x / sqrt(...) (tf.nn.l2_normalize).

    The epsilon, which matters for vectors shorter than a thousandth, is left out.
    """
    pairs = [(op.inputs[0], op.inputs[1])]
    if op.kind == "Mul":
        pairs.append((op.inputs[1], op.inputs[0]))
    kind = "Rsqrt" if op.kind == "Mul" else "Sqrt"
    for x, factor in pairs:
        root = reading.maker(factor, kind)
        axis = _axis_of_squares(reading, x, root) if root is not None else None
        if axis is not None:
            reading.note(f"{op.name} makes vectors of length 1; the epsilon against a length of 0 was left out.")
            along(reading.builder, op.name, x, "LpNormalization", axis, p=2)
            return True
    return False


def _axis_of_squares(reading: Reading, x: str, root: Op) -> int | None:
    """The axis along which the squares of x are added under the root, None where it is anything else."""
    tensor = root.inputs[0]
    guard = reading.maker(tensor, *_SUMS)
    if guard is not None:
        values = [reading.builder.value(each) for each in guard.inputs]
        small = [value for value in values if value is not None]
        if len(small) != 1 or small[0].size != 1 or not 0 <= float(small[0].reshape(())) <= _SMALL:
            return None
        tensor = guard.inputs[0 if values[0] is None else 1]
    total = reading.maker(tensor, "Sum")
    if total is None or not total.attribute("keep_dims", total.attribute("keepdims", default=False)):
        return None
    square = reading.maker(total.inputs[0], "Square", "Mul")
    if square is None or not all(reading.is_same(each, x) for each in square.inputs):
        return None
    axes = whole_numbers(reading, total, 1)
    return axes[0] if len(axes) == 1 else None


def is_dilated(reading: Reading, op: Op) -> bool:
    """BatchToSpaceND(convolution(SpaceToBatchND(x))), as TensorFlow 1 writes a dilated convolution."""
    inner = reading.maker(op.inputs[0], "Conv2D", "DepthwiseConv2dNative")
    spread = reading.maker(inner.inputs[0], "SpaceToBatchND") if inner is not None else None
    if inner is None or spread is None or reading.is_unread(spread.inputs[0]):
        return False
    builder = reading.builder
    block, pads, crops = (builder.known(each, str(op)) for each in (op.inputs[1], spread.inputs[2], op.inputs[2]))
    is_plain = inner.attribute("padding") == "VALID" and set(inner.integers("strides")) == {1}
    if not is_plain or block.tolist() != builder.known(spread.inputs[1], str(op)).tolist() or block.size != 2:
        return False
    # What is cropped at the front was padded there.
    (top, bottom), (left, right) = (pads - crops).tolist()
    if min(top, bottom, left, right) < 0:
        return False
    padding: Pads = ((top, bottom), (left, right))
    how = Windows(padding=padding, dilations=(int(block[0]), int(block[1])))
    write = conv if inner.kind == "Conv2D" else depthwise
    write(builder, op.name, spread.inputs[0], builder.known(inner.inputs[1], str(inner)), how)
    return True
