"""The enrolled: identities and their embeddings in SQLite, search among them, and one-file export and import."""

from edge.gallery.archive import ImportReport, export_gallery, import_gallery
from edge.gallery.live import LiveIndex
from edge.gallery.opening import gallery_of, open_any_gallery, open_gallery
from edge.gallery.records import Actor, EnrolledFace, Erased, IdentityRecord, Member, parse_moment
from edge.gallery.search import Index
from edge.gallery.similar import Likeness, likenesses
from edge.gallery.store import Gallery

__all__ = [
    "Actor",
    "EnrolledFace",
    "Erased",
    "Gallery",
    "IdentityRecord",
    "ImportReport",
    "Index",
    "Likeness",
    "LiveIndex",
    "Member",
    "export_gallery",
    "gallery_of",
    "import_gallery",
    "likenesses",
    "open_any_gallery",
    "open_gallery",
    "parse_moment",
]
