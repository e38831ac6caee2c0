"""Whether tflite-runtime 2.14, the oldest runtime promised, knows every operator of a file.

The runtime refuses an operator whose version is newer than it registers. The table was read from the runtime itself, by loading a
file with each operator at each version; a test does so again where it is installed.
"""

from __future__ import annotations

from convert.targets.tflite.describe import TfliteView, describe_tflite

OLDEST_RUNTIME = "tflite-runtime 2.14"

_BY_NEWEST_VERSION = {
    1: (
        "ADD_N ASSIGN_VARIABLE ATAN2 BITCAST BITWISE_XOR BROADCAST_ARGS BUCKETIZE CALL_ONCE CEIL COMPLEX_ABS "
        "CONV_3D CONV_3D_TRANSPOSE COS CUMSUM DENSIFY DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP_SPARSE "
        "EXPAND_DIMS FLOOR HARD_SWISH HASHTABLE HASHTABLE_FIND HASHTABLE_IMPORT HASHTABLE_LOOKUP "
        "HASHTABLE_SIZE IF IMAG L2_POOL_2D LOCAL_RESPONSE_NORMALIZATION LOG LOGICAL_AND LOGICAL_NOT "
        "LOGICAL_OR LSH_PROJECTION MATRIX_DIAG MATRIX_SET_DIAG MULTINOMIAL NEG NON_MAX_SUPPRESSION_V4 "
        "NON_MAX_SUPPRESSION_V5 ONE_HOT POW PRELU RANDOM_STANDARD_NORMAL RANDOM_UNIFORM RANK READ_VARIABLE "
        "REAL REDUCE_ALL REDUCE_ANY RELU_0_TO_1 RELU_N1_TO_1 RESHAPE REVERSE_SEQUENCE RFFT2D RIGHT_SHIFT "
        "ROUND SCATTER_ND SEGMENT_SUM SHAPE SIN SKIP_GRAM SQRT SQUARE UNIQUE UNSORTED_SEGMENT_MAX "
        "UNSORTED_SEGMENT_MIN UNSORTED_SEGMENT_PROD UNSORTED_SEGMENT_SUM VAR_HANDLE WHILE ZEROS_LIKE"
    ),
    2: (
        "DEPTH_TO_SPACE DIV EXP FAKE_QUANT FLOOR_MOD GELU GREATER L2_NORMALIZATION LEAKY_RELU LESS_EQUAL "
        "LOG_SOFTMAX RANGE REDUCE_PROD RSQRT SELECT_V2 SIGN SPACE_TO_DEPTH SPLIT_V SQUARED_DIFFERENCE SQUEEZE "
        "SUM WHERE"
    ),
    3: (
        "ARG_MAX ARG_MIN AVERAGE_POOL_2D BIDIRECTIONAL_SEQUENCE_LSTM BIDIRECTIONAL_SEQUENCE_RNN BROADCAST_TO "
        "EMBEDDING_LOOKUP FLOOR_DIV GREATER_EQUAL LESS LOGISTIC MAX_POOL_2D MEAN MIRROR_PAD NOT_EQUAL "
        "QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6 REVERSE_V2 RNN SOFTMAX SPARSE_TO_DENSE TANH TILE TOPK_V2 "
        "UNIDIRECTIONAL_SEQUENCE_RNN"
    ),
    4: (
        "BATCH_MATMUL BATCH_TO_SPACE_ND CONCATENATION EQUAL FILL GATHER_ND LSTM MAXIMUM MINIMUM PACK PAD "
        "PADV2 RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR SELECT SPACE_TO_BATCH_ND SPLIT SVDF TRANSPOSE_CONV "
        "UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK"
    ),
    5: "ABS ADD CAST DEQUANTIZE SUB",
    6: "GATHER SLICE TRANSPOSE",
    7: "CONV_2D DEPTHWISE_CONV_2D MUL",
    8: "STRIDED_SLICE",
    10: "FULLY_CONNECTED",
}
NEWEST_VERSIONS = {name: version for version, names in _BY_NEWEST_VERSION.items() for name in names.split()}
"""Operator -> highest version that the oldest runtime registers."""
CUSTOM_OPERATORS = frozenset({"TFLite_Detection_PostProcess", "AudioSpectrogram", "Mfcc"})
"""Custom operators that every runtime carries."""
_NEW_DTYPES = frozenset({"bfloat16", "int2", "uint4"})
"""Of the schema after 2.14."""


def oldest_runtime_faults(data: bytes) -> list[str]:
    """Why the oldest runtime would refuse this file: a sentence for each operator or dtype; empty where it would not.

    ModelError where `data` is not a TFLite file.
    """
    view = describe_tflite(data)
    faults = [fault for (name, version) in sorted(view.operators) if (fault := _fault(view, name, version))]
    new = sorted(_NEW_DTYPES & set(view.dtypes))
    return faults + [f"{dtype} tensors are newer than {OLDEST_RUNTIME}" for dtype in new]


def _fault(view: TfliteView, name: str, version: int) -> str:
    if name in CUSTOM_OPERATORS:
        return ""
    newest = NEWEST_VERSIONS.get(name)
    count = view.operators[name, version]
    if newest is None:
        return f"{OLDEST_RUNTIME} does not know {name} ({count} of them)"
    if version > newest:
        return f"{name} version {version} ({count} of them) is newer than {OLDEST_RUNTIME} knows ({newest})"
    return ""
