"""The networks of a recipe: read, adapted to what a device runs, and prepared for a kind of target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import reduce

from convert.build.plan import Plan
from convert.build.sample import View
from convert.catalogue import Recipe
from convert.catalogue.recipe import Part
from convert.importers import Imported, Request, open_source
from convert.network import Network, shown_shape
from convert.passes.flatten import flattened_in_order
from convert.passes.fold import centre_on_a_byte, take_out_normalisation
from convert.passes.mtcnn import to_device_form
from convert.passes.old_batch_norm import fold_old_batch_norms
from convert.passes.prelu import recognise_prelus
from convert.passes.rename import renamed
from convert.passes.ssd import decoded
from convert.passes.tidy import tidy
from convert.passes.upsample import upsampling_as_transposed_convolution
from edge.align import TEMPLATES
from edge.bundle.manifest import Normalisation
from edge.errors import ModelError

INTEGER_TARGETS = frozenset({"tflite-int8", "tflite-uint8", "tflite-uint8-legacy"})
PASSES: tuple[Callable[[Network], Network], ...] = (
    # Before anything is folded: products and sums of a PReLU that is written out are none of a batch norm.
    recognise_prelus,
    # Folding would do as well before: a matrix's rows change places, and its columns are scaled.
    flattened_in_order,
    # BatchNormalization too: it may stand in one row with arithmetic that is written out.
    fold_old_batch_norms,
)
"""What every target's network goes through, in this order."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """One part of a recipe, read."""

    part: str
    imported: Imported
    source: Network
    """As the source has it, tidied, its outputs named as the recipe says."""
    network: Network
    """As the device runs it: boxes decoded, cascades turned upright."""
    normalisation: Normalisation
    colour_order: str
    view: View

    @property
    def is_adapted(self) -> bool:
        """Whether the device's form differs from the source's by more than names."""
        return self.network is not self.source


def read_models(plan: Plan) -> dict[str, Model]:
    """Every part of the plan's recipe."""
    return {name: read_model(plan, name, part) for name, part in plan.recipe.parts.items()}


def read_model(plan: Plan, name: str, part: Part) -> Model:
    """One part: imported, tidied, renamed and adapted."""
    request = Request(
        files=tuple(plan.folder / file for file in part.files),
        inputs=part.inputs,
        outputs=part.outputs,
        shapes=part.shapes,
        signature=part.signature,
        architecture=part.architecture,
        constants=part.constants,
    )
    imported = open_source(request, part.format)
    source = renamed(tidy(imported.network), part.names)
    network = _adapted(plan.recipe, name, source)
    colour_order, normalisation = _feeding(plan.recipe)
    _refuse_no_picture(plan.recipe, network, colour_order)
    return Model(name, imported, source, network, normalisation, colour_order, view_of(plan.recipe, network))


def _adapted(recipe: Recipe, part: str, network: Network) -> Network:
    use = recipe.detector
    if use is not None and use.mtcnn is not None:
        return to_device_form(network, part, use.mtcnn)
    if use is not None and use.ssd is not None:
        return decoded(network, use.ssd)
    return network


def _feeding(recipe: Recipe) -> tuple[str, Normalisation]:
    use = recipe.embedder or recipe.detector or recipe.picture
    return (use.colour_order, use.normalisation) if use is not None else ("BGR", Normalisation())


def _refuse_no_picture(recipe: Recipe, network: Network, colour_order: str) -> None:
    """ModelError where the network takes something else than one picture: there would be nothing to prove it with."""
    names = [port.name for port in network.inputs]
    if len(names) != 1:
        hint = "Cut the network with --input NAME and --output-name NAME, or `inputs` and `outputs` in a recipe."
        raise ModelError(f"{len(names)} inputs: {', '.join(names)}", expected="one, a picture", hint=hint)
    shape, channels = network.inputs[0].shape, 1 if colour_order == "GREY" else 3
    wanted: tuple[int | None, ...] = (None, channels, None, None)
    if recipe.embedder is not None:
        template = TEMPLATES[recipe.embedder.alignment_template]
        wanted = (None, channels, template.height, template.width)
    fits = len(shape) == len(wanted) and all(
        None in both or both[0] == both[1] for both in zip(shape, wanted, strict=True)
    )
    if not fits:
        told, like = shown_shape(shape), shown_shape(wanted)
        of = f" aligned as {recipe.embedder.alignment_template}" if recipe.embedder is not None else ""
        raise ModelError(f"input {names[0]!r} of shape {told}", expected=f"{like}, {colour_order}{of}")


def view_of(recipe: Recipe, network: Network) -> View:
    """What of a picture the network sees, for calibration and proof."""
    if recipe.embedder is not None:
        template = TEMPLATES[recipe.embedder.alignment_template]
        return View("aligned", template.width, template.height, template.name)
    shape = network.inputs[0].shape
    sizes = [size for size in shape[2:] if size is not None] if len(shape) == 4 else []
    height, width = (sizes[0], sizes[1]) if len(sizes) == 2 else (112, 112)
    kind = "whole" if recipe.role == "detector" and "model" in recipe.parts else "face"
    return View(kind, width, height)


def simplified(network: Network) -> Network:
    """The same results from fewer nodes, whatever the target: as every source format writes the network."""
    return reduce(lambda made, change: change(made), PASSES, network)


def prepared(model: Model, target: str) -> Network:
    """The network as a target wants it: simplified, and for TFLite as accelerated operators compute it.

    XNNPACK leaves nearest Resize to a reference kernel, and the old OpenCV reader knows few of its forms: both get transposed
    convolutions. From integer targets the arithmetic on the input goes, so that a byte of the picture is a byte of the input.
    """
    network = simplified(model.network)
    if target == "opencv-pb" or target.startswith("tflite-"):
        network = upsampling_as_transposed_convolution(network)
    if model.normalisation.kind != "fixed":
        return network
    # For the notes that ONNX and SavedModel files keep of what their input expects.
    network = replace(network, mean=model.normalisation.mean, std=model.normalisation.std)
    return centre_on_a_byte(take_out_normalisation(network)) if target in INTEGER_TARGETS else network


def normalisation_of(model: Model, network: Network, target: str) -> Normalisation:
    """What a prepared network expects of a pixel."""
    if target not in INTEGER_TARGETS or model.normalisation.kind != "fixed":
        return model.normalisation
    return Normalisation("fixed", network.mean, network.std)
