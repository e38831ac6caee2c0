"""Which layers, functions and operations a Keras configuration may name. Whatever is not listed is never looked up."""

from __future__ import annotations

LAYERS = frozenset({
    "InputLayer", "Dense", "Activation", "Flatten", "Reshape", "Permute", "RepeatVector", "Identity", "Masking",
    "Conv1D", "Conv2D", "DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D", "Conv2DTranspose",
    "MaxPooling1D", "MaxPooling2D", "AveragePooling1D", "AveragePooling2D", "GlobalMaxPooling1D", "GlobalMaxPooling2D",
    "GlobalAveragePooling1D", "GlobalAveragePooling2D", "UpSampling1D", "UpSampling2D", "ZeroPadding1D", "ZeroPadding2D",
    "Cropping1D", "Cropping2D", "BatchNormalization", "LayerNormalization", "GroupNormalization", "UnitNormalization",
    "Normalization", "Rescaling", "Resizing", "Dropout", "SpatialDropout1D", "SpatialDropout2D", "GaussianDropout",
    "AlphaDropout", "GaussianNoise", "ActivityRegularization", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax",
    "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot",
})  # fmt: skip
MODELS = frozenset({"Functional", "Model", "Sequential"})
OLD_NAMES = {
    "BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization", "LayerNormalizationV1": "LayerNormalization",
    "MaxPool2D": "MaxPooling2D", "AvgPool2D": "AveragePooling2D", "GlobalAvgPool2D": "GlobalAveragePooling2D",
    "GlobalMaxPool2D": "GlobalMaxPooling2D", "Convolution2D": "Conv2D", "Convolution2DTranspose": "Conv2DTranspose",
    "SeparableConvolution2D": "SeparableConv2D",
}  # fmt: skip
"""Layers of older versions, and what they are called now."""
ACTIVATIONS = frozenset({
    "linear", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "sigmoid", "hard_sigmoid", "tanh", "hard_tanh",
    "softmax", "softplus", "softsign", "silu", "swish", "hard_silu", "hard_swish", "exponential", "log_softmax", "mish",
})  # fmt: skip
_NUMPY, _NN = "keras.src.ops.numpy", "keras.src.ops.nn"
OPERATIONS = {
    **dict.fromkeys((
        "Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Power", "Maximum", "Minimum", "Negative", "Abs", "Absolute",
        "Square", "Sqrt", "Exp", "Log", "Tanh", "Mean", "Sum", "Max", "Min", "Reshape", "Transpose", "Concatenate", "Clip",
    ), _NUMPY),
    **dict.fromkeys((
        "Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Silu", "HardSilu", "Softmax", "Softplus",
    ), _NN),
}  # fmt: skip
"""Operations of Keras 3 that a functional model may hold beside its layers -> the module of each."""

TENSORFLOW_FUNCTIONS: dict[str, tuple[str, str]] = {
    "math.add": (_NUMPY, "Add"), "__operators__.add": (_NUMPY, "Add"), "math.subtract": (_NUMPY, "Subtract"),
    "math.multiply": (_NUMPY, "Multiply"), "math.divide": (_NUMPY, "Divide"), "math.truediv": (_NUMPY, "TrueDivide"),
    "math.maximum": (_NUMPY, "Maximum"), "math.minimum": (_NUMPY, "Minimum"), "math.negative": (_NUMPY, "Negative"),
    "math.abs": (_NUMPY, "Absolute"), "math.square": (_NUMPY, "Square"), "math.sqrt": (_NUMPY, "Sqrt"),
    "math.exp": (_NUMPY, "Exp"), "math.tanh": (_NUMPY, "Tanh"), "math.reduce_mean": (_NUMPY, "Mean"),
    "math.reduce_sum": (_NUMPY, "Sum"), "math.reduce_max": (_NUMPY, "Max"), "math.sigmoid": (_NN, "Sigmoid"),
    "nn.sigmoid": (_NN, "Sigmoid"), "nn.relu": (_NN, "Relu"), "nn.relu6": (_NN, "Relu6"), "nn.tanh": (_NUMPY, "Tanh"),
    "nn.silu": (_NN, "Silu"), "nn.swish": (_NN, "Silu"), "nn.softmax": (_NN, "Softmax"), "nn.elu": (_NN, "Elu"),
}  # fmt: skip
"""What a TFOpLambda of Keras 2 calls -> module and class of the same operation in Keras 3."""
FUNCTION_SETTINGS = {"axis": "axis", "keepdims": "keepdims"}
"""Arguments of such a function that are settings of the operation, and not tensors."""
