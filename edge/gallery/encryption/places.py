"""What each sealed value of an enrolment is bound to: its table, column, identity and row, and more where it says more."""

from __future__ import annotations

Place = tuple[str | int, ...]


class Places:
    """Of one gallery.

    Values that version 2 sealed keep their places: there an embedding, its source and its face were one row of
    `embeddings`, always of the embedder that the gallery was made for.
    """

    def __init__(self, first_id: str) -> None:
        """`first_id`: that embedder."""
        self._first_id = first_id

    def source(self, identity_id: str, enrolment_id: int) -> Place:
        """Of enrolments.source."""
        return ("embeddings", "source", identity_id, enrolment_id)

    def vector(self, identity_id: str, row_id: int, embedder_id: str) -> Place:
        """Of embeddings.vector: one embedder's cannot be passed off as another's."""
        bound = () if embedder_id == self._first_id else (embedder_id,)
        return ("embeddings", "vector", identity_id, row_id, *bound)

    def face(self, identity_id: str, enrolment_id: int, template: str) -> Place:
        """Of faces.png."""
        bound = (template,) if template else ()
        return ("faces", "png", identity_id, enrolment_id, *bound)
