"""Arrays out of pickles, and nothing else: a pickle is a program, and none is ever run here.

`machine` walks the opcodes itself, without the pickle module's Unpickler; what a pickle may name is the table in `constructors`,
and every name there stands for a function of this package.
"""

from convert.importers.safe_pickle.archive import is_zip, read_checkpoint
from convert.importers.safe_pickle.npy import read_npy_object

__all__ = ["is_zip", "read_checkpoint", "read_npy_object"]
