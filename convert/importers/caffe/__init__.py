"""Caffe: prototxt and caffemodel, read without Caffe."""

from convert.importers.caffe.importer import import_caffe

__all__ = ["import_caffe"]
