"""PyTorch: weights alone, TorchScript, and torch.export archives."""

from convert.importers.pytorch.dispatch import import_pytorch

__all__ = ["import_pytorch"]
