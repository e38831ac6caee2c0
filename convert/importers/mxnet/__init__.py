"""MXNet symbol and parameters -> Network, without MXNet."""

from convert.importers.mxnet.importer import import_mxnet

__all__ = ["import_mxnet"]
