"""Caffe's own files, run by OpenCV's reader of them, which OpenCV 5 no longer has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from convert.network import Network
from convert.runners.base import Feeds, OfNetwork, Outputs
from edge.detect.network import opencv_silenced
from edge.errors import ModelError

_READER = "readNetFromCaffe"


class CaffeRunner(OfNetwork):
    """A prototxt and a caffemodel in cv2.dnn, under the names of the network that was made of them."""

    def __init__(self, prototxt: Path, caffemodel: Path, network: Network, layers: Mapping[str, str]) -> None:
        """`layers`: tensor of the network -> the layer that makes it. ModelError where OpenCV cannot read or run them."""
        super().__init__(network)
        self._where = str(prototxt)
        try:
            files = [np.fromfile(path, np.uint8) for path in (prototxt, caffemodel)]
            with opencv_silenced():
                # By its name: the stubs of OpenCV 5 do not have it.
                self._net = getattr(cv2.dnn, _READER)(*files)
        except (OSError, AttributeError, cv2.error) as error:
            raise self._fault("cannot be read", error) from error
        known = set(self._net.getLayerNames())
        # OpenCV names some layers by what they make.
        named = {tensor: layer if layer in known else tensor for tensor, layer in layers.items()}
        self._layers = {tensor: layer for tensor, layer in named.items() if layer in known}
        self._net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        # Fused layers have no values of their own to compare.
        self._net.enableFusion(False)  # noqa: FBT003 (OpenCV's signature)
        zeros = {port.name: np.zeros([size or 1 for size in port.shape], np.float32) for port in network.inputs}
        self.run(zeros)

    @staticmethod
    def is_available() -> bool:
        """Whether this OpenCV reads Caffe files."""
        return hasattr(cv2.dnn, _READER)

    @property
    def label(self) -> str:
        """`cv2.dnn 4.11.0, Caffe files`."""
        return f"cv2.dnn {cv2.__version__}, Caffe files"

    @property
    def tensors(self) -> tuple[str, ...]:
        """What the layers make, in their order."""
        return tuple(self._layers)

    def run(self, feeds: Feeds, wanted: Sequence[str] = ()) -> Outputs:
        """float32 arrays by name. ModelError where a name is unknown or OpenCV fails."""
        names = list(wanted or self.outputs)
        unknown = [name for name in names if name not in self._layers]
        missing = [port.name for port in self.inputs if port.name not in feeds]
        if unknown or missing:
            raise ModelError(f"no tensor {', '.join([*unknown, *missing])}", where=self._where)
        try:
            with opencv_silenced():
                for port in self.inputs:
                    self._net.setInput(np.ascontiguousarray(feeds[port.name], np.float32), port.name)
                found = self._net.forward([self._layers[name] for name in names])
        except cv2.error as error:
            raise self._fault("cannot be run", error) from error
        return {name: np.array(value, np.float32) for name, value in zip(names, found, strict=True)}

    def _fault(self, problem: str, error: Exception) -> ModelError:
        cause = " ".join(str(error).split())[:200]
        return ModelError(f"{problem} by OpenCV {cv2.__version__} ({cause})", where=self._where)
