"""The default bundle's README.md, written from the figures in its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_ROWS = {
    "float32": "float32, one embedding a face",
    "float32_mirrored": "float32, mirrored face added",
    "uint8": "uint8, one embedding a face",
    "uint8_mirrored": "uint8, mirrored face added",
}

_CARD = """\
# {bundle_id}

{description}

| file | what | size |
|---|---|---|
| `detector.onnx` | face detector with five landmarks; the outputs of YuNet, float32, any picture size, runs in OpenCV | {detector_kb} kB |
| `embedder.tflite` | 112x112 RGB face to 128 numbers; uint8 in and out, int8 inside, runs in TFLite | {embedder_kb} kB |

## What it is for
Trying Ostiary out, demonstrations, tests, and developing against its MQTT interface.

## What it must not be used for
* **Not for opening a door**, an alarm, or anything where a wrong name does harm. At the threshold that lets one stranger
  in ten thousand comparisons pass, it turns away {fnmr_4} of the comparisons that should match, and strangers who look
  alike are far more likely than that to be taken for each other.
* Not for telling live faces from photographs: it holds no spoof detector.
* Not where fairness between groups matters: it learned from 6,922 press photographs of 3,554 well-known people (LFW),
  mostly adult, male and light-skinned, and has not been measured by group. Expect it to be worse for everybody else,
  and much worse for children.

A bundle made from better weights has the same form, and takes its place with `--bundle` or the configuration's `bundle`.

## Measured
End to end: this detector (confidence {confidence}), `edge.align`, this embedder. {failures} of {pictures} pictures gave no face.

{verification}
Share of genuine pairs accepted at each false match rate (FMR), {data}:

| | {fmr_heads} |
|---|{fmr_rules}|
{tar_rows}

Operating points of this bundle (`add_mirrored` is {add_mirrored}):

| name | similarity | FMR | FNMR | impostor pairs | genuine pairs | similarity, 95 % within | FNMR, 95 % within |
|---|---|---|---|---|---|---|---|
{points}

Comparisons of one person are not independent of each other, so the intervals come from drawing people again, 1,000 times
(docs/operating-points.md of the project, which also has small, blurred, dark and turned faces). LFW is an easy set: adults
who face the camera in daylight. A door camera at night does worse.

The embedder beside its own float student, the same face: cosine {cosine_mean:.4f} on average, {cosine_min:.4f} at worst ({fidelity_data}).

## How it was made
Both networks were trained by `ostiary-convert train`, from weights of seeded chance, on the LFW pictures of those 3,554 people;
nobody among them is in the figures above. Third-party networks were the teachers: the embedder learned to give the embeddings and
inner tensors of a MobileFaceNet (ArcFace, trained on MS-Celeb-1M), the detector to give those of YuNet n (libfacedetection).
No weights of theirs are in these files. The embedder's last phase ran with the device's integer arithmetic. The detector has YuNet n's
build and was taught to give the feature maps of its stages, too, so that some of its filters have come to resemble the teacher's.

`ostiary-convert default-bundle` measured them and wrote this folder. The manifest's `recipe` says how long each was trained and
with which settings, and `tools` with which versions it was measured.

## Licence
The weights are the project's own and under {licence}, like the code. You should know, though, that the embedder's teacher has no
stated licence, that YuNet is under BSD and Apache licences (libfacedetection), that the weights of InsightFace, whose method it follows, are for non-commercial research only, and that LFW and MS-Celeb-1M were collected for research,
without asking the people in them. Whether any of that reaches a student network that was only taught by such a teacher has not
been settled by law or by courts. If it matters to you, for instance in a product, use a bundle made from weights whose whole
history you have rights to.
"""


def model_card(about: Mapping[str, Any], sizes: Mapping[str, int]) -> str:
    """Markdown. `about` holds the manifest's fields, with `operating_points` and `measured`; `sizes` are in bytes."""
    measured, points = about["measured"], about["operating_points"]
    tar, pictures, fidelity = measured["tar_all_pairs"], measured["pictures"], measured["fidelity"]
    strict = points.get("fmr-1e-4")
    return _CARD.format(
        bundle_id=about["bundle_id"],
        description=about["description"].split(" README.md")[0],
        detector_kb=round(sizes["detector.onnx"] / 1000),
        embedder_kb=round(sizes["embedder.tflite"] / 1000),
        fnmr_4=f"{strict.fnmr:.0%}" if strict else "an unmeasured share",
        confidence=about["detector"].confidence,
        failures=pictures["failures_to_acquire"],
        pictures=pictures["pictures"],
        verification=_verification(measured.get("verification")),
        data=pictures["data"],
        fmr_heads=" | ".join(name.removeprefix("fmr-") for name in points),
        fmr_rules="|".join("---" for _ in points),
        tar_rows="\n".join(_tar_row(label, tar[name]) for name, label in _ROWS.items()),
        points="\n".join(_point_row(name, point) for name, point in points.items()),
        add_mirrored="on" if about["embedder"].add_mirrored else "off",
        cosine_mean=fidelity["cosine_mean"],
        cosine_min=fidelity["cosine_min"],
        fidelity_data=fidelity["data"],
        licence="Apache-2.0",
    )


def _verification(results: Mapping[str, Any] | None) -> str:
    if results is None:
        return ""
    rows = "\n".join(_verification_row(label, results[name]) for name, label in _ROWS.items())
    return (
        f"{results['data']} ({results['uint8']['pairs']} pairs, each fold at the threshold that is best in the others):\n\n"
        f"| | accuracy | TAR at FMR 1e-2 | TAR at FMR 1e-3 |\n|---|---|---|---|\n{rows}\n"
    )


def _verification_row(label: str, result: Mapping[str, Any]) -> str:
    accuracy = f"{result['accuracy_mean']:.2%} ± {result['accuracy_std']:.2%}"
    return f"| {label} | {accuracy} | {result['tar']['1e-2']:.1%} | {result['tar']['1e-3']:.1%} |"


def _tar_row(label: str, shares: Mapping[str, float]) -> str:
    return f"| {label} | " + " | ".join(f"{share:.1%}" for share in shares.values()) + " |"


def _point_row(name: str, point: Any) -> str:
    counts = f"{point.impostor_pairs:,} | {point.genuine_pairs:,}"
    sure = point.confidence_95
    within = "– | –"
    if sure is not None:
        within = f"{sure.threshold[0]:.3f} to {sure.threshold[1]:.3f} | {sure.fnmr[0]:.1%} to {sure.fnmr[1]:.1%}"
    return f"| `{name}` | {point.threshold:.4f} | {point.fmr:.2g} | {point.fnmr:.1%} | {counts} | {within} |"
