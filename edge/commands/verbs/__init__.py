"""What each verb does. A function a verb: the work and the request in, the result or a job out."""

from __future__ import annotations

from collections.abc import Callable

from edge.commands.request import Request
from edge.commands.verbs import box, bundles, enrolment, people
from edge.commands.work import Job, Result, Work

Run = Callable[[Work, Request], Result | Job]

RUN: dict[str, Run] = {
    "enrol": enrolment.enrol,
    "enrol-picture": enrolment.enrol_picture,
    "rename": people.rename,
    "disable": people.disable,
    "enable": people.enable,
    "access": people.access,
    "remove": people.remove,
    "list": people.list_people,
    "bundle": bundles.switch,
    "snapshot": box.snapshot,
    "restart": box.restart,
    "unlocking": box.unlocking,
}
