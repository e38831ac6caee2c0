"""The one kind of function that all tables of operators hold."""

from __future__ import annotations

from collections.abc import Callable

from convert.importers.mxnet.maker import Call

Emitter = Callable[[Call], None]
