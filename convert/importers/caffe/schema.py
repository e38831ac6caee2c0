"""What this importer knows of Caffe's two file formats, as protobuf messages that are built here.

Names and field numbers are those of the format (https://caffe.berkeleyvision.org, and its SSD branch: Liu et al. 2016);
only what is read is described, and everything else in a file is skipped. Numbers from 10000 on stand for fields that forks
write in prototxt alone, where fields have names and no numbers.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from edge.errors import MissingDependencyError

Message = Any
"""A protobuf message of one of the classes made here."""

_SIDES = {"pad_h": "i9", "pad_w": "i10"}
_CONVOLUTION = {
    "num_output": "i1", "bias_term": "b2", "pad": "I3", "kernel_size": "I4", "group": "i5", "stride": "I6",
    **_SIDES, "kernel_h": "i11", "kernel_w": "i12", "stride_h": "i13", "stride_w": "i14", "axis": "i16", "dilation": "I18",
}  # fmt: skip

MESSAGES: dict[str, dict[str, str]] = {
    "Shape": {"dim": "I1"},
    # Packed numbers are one run of bytes in the file: read as such, they cost no more memory than they have bytes.
    "Blob": {"num": "i1", "channels": "i2", "height": "i3", "width": "i4", "data": "Y5", "shape": "m7:Shape", "double_data": "Y8"},
    "LayerWeights": {"name": "s1", "blobs": "M7:Blob"},
    "OldLayerWeights": {"name": "s4", "blobs": "M6:Blob"},
    "Weights": {"name": "s1", "layers": "M2:OldLayerWeights", "layer": "M100:LayerWeights"},
    "Rule": {"phase": "e1:Phase", "min_level": "i2", "max_level": "i3", "stage": "S4", "not_stage": "S5"},
    "BatchNorm": {"use_global_stats": "b1", "eps": "f3"},
    "Axes": {"axis": "i1", "num_axes": "i2"},
    "Concat": {"concat_dim": "i1", "axis": "i2"},
    "Convolution": _CONVOLUTION,
    "Crop": {"axis": "i1", "offset": "I2"},
    "Suppression": {"nms_threshold": "f1", "top_k": "i2"},
    "DetectionOutput": {
        "num_classes": "i1", "share_location": "b2", "background_label_id": "i3", "nms_param": "m4:Suppression",
        "code_type": "e6:Code", "keep_top_k": "i7", "variance_encoded_in_target": "b8", "confidence_threshold": "f9",
    },
    "Dropout": {"dropout_ratio": "f1", "scale_train": "b2"},
    "Eltwise": {"operation": "e1:Operation", "coeff": "F2"},
    "Elu": {"alpha": "f1"},
    "Exp": {"base": "f1", "scale": "f2", "shift": "f3"},
    "Flatten": {"axis": "i1", "end_axis": "i2"},
    "InnerProduct": {"num_output": "i1", "bias_term": "b2", "axis": "i5", "transpose": "b6"},
    "Input": {"shape": "M1:Shape"},
    "Interp": {"height": "i1", "width": "i2", "zoom_factor": "i3", "shrink_factor": "i4", "pad_beg": "i5", "pad_end": "i6"},
    "Lrn": {"local_size": "i1", "alpha": "f2", "beta": "f3", "norm_region": "e4:Region", "k": "f5"},
    "MemoryData": {"batch_size": "i1", "channels": "i2", "height": "i3", "width": "i4"},
    "Normalize": {"across_spatial": "b1", "channel_shared": "b3", "eps": "f4"},
    "Permute": {"order": "I1"},
    "Pooling": {
        "pool": "e1:Method", "kernel_size": "i2", "stride": "i3", "pad": "i4", "kernel_h": "i5", "kernel_w": "i6",
        "stride_h": "i7", "stride_w": "i8", **_SIDES, "global_pooling": "b12", "round_mode": "e13:Rounding", "ceil_mode": "b1000",
    },
    "Power": {"power": "f1", "scale": "f2", "shift": "f3"},
    "PRelu": {"channel_shared": "b2"},
    "PriorBox": {
        "min_size": "F1", "max_size": "F2", "aspect_ratio": "F3", "flip": "b4", "clip": "b5", "variance": "F6", "img_size": "i7",
        "img_h": "i8", "img_w": "i9", "step": "f10", "step_h": "f11", "step_w": "f12", "offset": "f13",
    },
    "Relu": {"negative_slope": "f1"},
    "Reshape": {"shape": "m1:Shape", "axis": "i2", "num_axes": "i3"},
    "Scale": {"axis": "i1", "num_axes": "i2", "bias_term": "b4"},
    "Slice": {"slice_dim": "i1", "slice_point": "I2", "axis": "i3"},
    "Softmax": {"axis": "i2"},
    "Upsample": {"scale": "i1", "stride": "i10000"},
    "Layer": {
        "name": "s1", "type": "s2", "bottom": "S3", "top": "S4", "include": "M8:Rule", "exclude": "M9:Rule", "phase": "e10:Phase",
        "concat_param": "m104:Concat", "convolution_param": "m106:Convolution", "dropout_param": "m108:Dropout",
        "eltwise_param": "m110:Eltwise", "exp_param": "m111:Exp", "inner_product_param": "m117:InnerProduct",
        "lrn_param": "m118:Lrn", "memory_data_param": "m119:MemoryData", "pooling_param": "m121:Pooling",
        "power_param": "m122:Power", "relu_param": "m123:Relu", "softmax_param": "m125:Softmax", "slice_param": "m126:Slice",
        "prelu_param": "m131:PRelu", "reshape_param": "m133:Reshape", "log_param": "m134:Exp", "flatten_param": "m135:Flatten",
        "batch_norm_param": "m139:BatchNorm", "elu_param": "m140:Elu", "bias_param": "m141:Axes", "scale_param": "m142:Scale",
        "input_param": "m143:Input", "crop_param": "m144:Crop", "permute_param": "m202:Permute", "prior_box_param": "m203:PriorBox",
        "detection_output_param": "m204:DetectionOutput", "norm_param": "m206:Normalize",
        "interp_param": "m10001:Interp", "upsample_param": "m10002:Upsample",
    },
    "OldLayer": {
        "bottom": "S2", "top": "S3", "name": "s4", "type": "e5:OldType", "include": "M32:Rule", "exclude": "M33:Rule",
        "concat_param": "m9:Concat", "convolution_param": "m10:Convolution", "dropout_param": "m12:Dropout",
        "inner_product_param": "m17:InnerProduct", "lrn_param": "m18:Lrn", "pooling_param": "m19:Pooling",
        "power_param": "m21:Power", "memory_data_param": "m22:MemoryData", "eltwise_param": "m24:Eltwise",
        "relu_param": "m30:Relu", "slice_param": "m31:Slice", "softmax_param": "m39:Softmax", "exp_param": "m41:Exp",
    },
    "Net": {
        "name": "s1", "layers": "M2:OldLayer", "input": "S3", "input_dim": "I4", "input_shape": "M8:Shape", "layer": "M100:Layer",
    },
}  # fmt: skip
"""Message -> field -> kind and number: i integer, f float, b bool, s text, y bytes, e enum, m message; capital: repeated."""

OLD_TYPES = {
    1: "Accuracy", 2: "BNLL", 3: "Concat", 4: "Convolution", 5: "Data", 6: "Dropout", 7: "EuclideanLoss", 8: "Flatten",
    9: "HDF5Data", 10: "HDF5Output", 11: "Im2col", 12: "ImageData", 13: "InfogainLoss", 14: "InnerProduct", 15: "LRN",
    16: "MultinomialLogisticLoss", 17: "Pooling", 18: "ReLU", 19: "Sigmoid", 20: "Softmax", 21: "SoftmaxWithLoss", 22: "Split",
    23: "TanH", 24: "WindowData", 25: "Eltwise", 26: "Power", 27: "SigmoidCrossEntropyLoss", 28: "HingeLoss",
    29: "MemoryData", 30: "ArgMax", 31: "Threshold", 32: "DummyData", 33: "Slice", 34: "MVN", 35: "AbsVal", 36: "Silence",
    37: "ContrastiveLoss", 38: "Exp", 39: "Deconvolution",
}  # fmt: skip
"""Types of the old `layers`, which are an enum there, as the new `layer` names them."""

_OLD_NAMES = {
    "EuclideanLoss": "EUCLIDEAN_LOSS", "HDF5Data": "HDF5_DATA", "HDF5Output": "HDF5_OUTPUT", "ImageData": "IMAGE_DATA",
    "InfogainLoss": "INFOGAIN_LOSS", "InnerProduct": "INNER_PRODUCT", "MultinomialLogisticLoss": "MULTINOMIAL_LOGISTIC_LOSS",
    "SoftmaxWithLoss": "SOFTMAX_LOSS", "WindowData": "WINDOW_DATA", "SigmoidCrossEntropyLoss": "SIGMOID_CROSS_ENTROPY_LOSS",
    "HingeLoss": "HINGE_LOSS", "MemoryData": "MEMORY_DATA", "DummyData": "DUMMY_DATA", "ContrastiveLoss": "CONTRASTIVE_LOSS",
}  # fmt: skip
_ENUMS: dict[str, dict[str, int]] = {
    "Phase": {"TRAIN": 0, "TEST": 1},
    "Code": {"CORNER": 1, "CENTER_SIZE": 2, "CORNER_SIZE": 3},
    "Operation": {"PROD": 0, "SUM": 1, "MAX": 2},
    "Region": {"ACROSS_CHANNELS": 0, "WITHIN_CHANNEL": 1},
    "Method": {"MAX": 0, "AVE": 1, "STOCHASTIC": 2},
    "Rounding": {"CEIL": 0, "FLOOR": 1},
    "OldType": {"NONE": 0} | {_OLD_NAMES.get(name, name.upper()): number for number, name in OLD_TYPES.items()},
}


@cache
def message_class(name: str) -> Any:
    """The protobuf class of a message of MESSAGES."""
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise MissingDependencyError("protobuf", extra="convert", purpose="reading a Caffe model") from error
    pool = descriptor_pool.DescriptorPool()
    file = descriptor_pb2.FileDescriptorProto(name="caffe_subset.proto", package="caffe_subset", syntax="proto2")
    for enum, values in _ENUMS.items():
        # In a message of its own: the values of two enums in one scope may not share a name, as MAX does.
        described = file.message_type.add(name=f"Of{enum}").enum_type.add(name=enum)
        for label, number in values.items():
            described.value.add(name=label, number=number)
    for message, fields in MESSAGES.items():
        _describe(file.message_type.add(name=message), fields)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe_subset.{name}"))


def _describe(message: Any, fields: dict[str, str]) -> None:
    from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

    types = {
        "i": Field.TYPE_INT64, "f": Field.TYPE_FLOAT, "b": Field.TYPE_BOOL, "s": Field.TYPE_STRING, "y": Field.TYPE_BYTES,
        "e": Field.TYPE_ENUM, "m": Field.TYPE_MESSAGE,
    }  # fmt: skip
    for name, kind in fields.items():
        number, _, type_name = kind[1:].partition(":")
        field = message.field.add(name=name, number=int(number), type=types[kind[0].lower()])
        field.label = Field.LABEL_REPEATED if kind[0].isupper() else Field.LABEL_OPTIONAL
        if type_name:
            scope = f"Of{type_name}." if kind[0] == "e" else ""
            field.type_name = f".caffe_subset.{scope}{type_name}"
