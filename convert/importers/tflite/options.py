"""Which options each operator has: the name of its table in schema.fbs, and those of its fields that are read."""

from __future__ import annotations

_FUSED = "FusedActivationFunction"
_WINDOW = ("Padding", "StrideH", "StrideW", _FUSED)
_DILATION = ("DilationHFactor", "DilationWFactor")
_POOL = ("Pool2DOptions", (*_WINDOW, "FilterHeight", "FilterWidth"))
_REDUCER = ("ReducerOptions", ("KeepDims",))
_RESIZE = ("AlignCorners", "HalfPixelCenters")

OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "CONV_2D": ("Conv2DOptions", (*_WINDOW, *_DILATION)),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", (*_WINDOW, *_DILATION, "DepthMultiplier")),
    "TRANSPOSE_CONV": ("TransposeConvOptions", ("Padding", "StrideH", "StrideW")),
    "FULLY_CONNECTED": ("FullyConnectedOptions", (_FUSED, "WeightsFormat", "KeepNumDims")),
    "BATCH_MATMUL": ("BatchMatMulOptions", ("AdjX", "AdjY")),
    "ADD": ("AddOptions", (_FUSED,)),
    "SUB": ("SubOptions", (_FUSED,)),
    "MUL": ("MulOptions", (_FUSED,)),
    "DIV": ("DivOptions", (_FUSED,)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "GELU": ("GeluOptions", ("Approximate",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "AVERAGE_POOL_2D": _POOL,
    "MAX_POOL_2D": _POOL,
    "MEAN": _REDUCER,
    "SUM": _REDUCER,
    "REDUCE_MAX": _REDUCER,
    "REDUCE_MIN": _REDUCER,
    "RESHAPE": ("ReshapeOptions", ("NewShape",)),
    "SQUEEZE": ("SqueezeOptions", ("SqueezeDims",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", _FUSED)),
    "SPLIT": ("SplitOptions", ("NumSplits",)),
    "SPLIT_V": ("SplitVOptions", ("NumSplits",)),
    "PACK": ("PackOptions", ("Axis", "ValuesCount")),
    "UNPACK": ("UnpackOptions", ("Axis", "Num")),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
    ),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "CAST": ("CastOptions", ("InDataType", "OutDataType")),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", _RESIZE),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", _RESIZE),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "L2_NORMALIZATION": ("L2NormOptions", (_FUSED,)),
    "ARG_MAX": ("ArgMaxOptions", ("OutputType",)),
    "LOCAL_RESPONSE_NORMALIZATION": ("LocalResponseNormalizationOptions", ("Radius", "Bias", "Alpha", "Beta")),
}
"""https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/schema/schema.fbs"""

VECTORS = frozenset({"NewShape", "SqueezeDims"})
"""Fields that are lists of whole numbers."""
