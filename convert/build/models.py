"""The networks of a recipe: read, adapted to what a device runs, and prepared for a kind of target."""

from __future__ import annotations

from dataclasses import dataclass, replace

from convert.build.plan import Plan
from convert.build.sample import View
from convert.catalogue import Recipe
from convert.catalogue.recipe import Part
from convert.importers import Imported, Request, open_source
from convert.network import Network
from convert.passes.fold import centre_on_a_byte, fold_batch_norms, take_out_normalisation
from convert.passes.mtcnn import to_device_form
from convert.passes.old_batch_norm import fold_old_batch_norms
from convert.passes.rename import renamed
from convert.passes.ssd import decoded
from convert.passes.tidy import tidy
from edge.align import TEMPLATES
from edge.manifest import Normalisation

INTEGER_TARGETS = frozenset({"tflite-int8", "tflite-uint8", "tflite-uint8-legacy"})


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


def prepared(model: Model, target: str) -> Network:
    """The network as a target wants it.

    Batch norms are folded for every one but `saved-model` and `onnx` keep what the source normalises inside; integer targets
    get that arithmetic out of the graph, so that a byte of the picture is a byte of the input.
    """
    network = fold_batch_norms(fold_old_batch_norms(model.network))
    if target not in INTEGER_TARGETS or model.normalisation.kind != "fixed":
        return network
    given = replace(network, mean=model.normalisation.mean, std=model.normalisation.std)
    return centre_on_a_byte(take_out_normalisation(given))


def normalisation_of(model: Model, network: Network, target: str) -> Normalisation:
    """What a prepared network expects of a pixel."""
    if target not in INTEGER_TARGETS or model.normalisation.kind != "fixed":
        return model.normalisation
    return Normalisation("fixed", network.mean, network.std)
