"""Networks of which only the weights are published, by name."""

from convert.architectures.builder import Architecture, WeightedGraph
from convert.architectures.minifasnet import MINIFASNET_V1SE, MINIFASNET_V2
from convert.architectures.mobilefacenet import MOBILEFACENET
from convert.architectures.mtcnn import MTCNN_ONET, MTCNN_PNET, MTCNN_RNET

__all__ = ["ARCHITECTURES", "Architecture", "WeightedGraph"]

ARCHITECTURES = {
    known.name: known for known in (MOBILEFACENET, MINIFASNET_V2, MINIFASNET_V1SE, MTCNN_PNET, MTCNN_RNET, MTCNN_ONET)
}
