"""TFLite file -> Network."""

from convert.importers.tflite.importer import import_tflite
from convert.importers.tflite.post_process import read_detection_head

__all__ = ["import_tflite", "read_detection_head"]
