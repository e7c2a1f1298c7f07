"""Figures 3 and 5: the networks themselves, and what they look for."""

from __future__ import annotations

from experiments.reporting.content import Figure
from experiments.saood2021.counts import CLASS_NAMES
from experiments.saood2021.evidence import Evidence
from experiments.saood2021.protocol import DREAMING, NETS, SIZE, VARIANTS
from unet_segnet.models.registry import NETWORKS

DREAM_SIZE = (192, 192)  # pixels; larger ones show the same patterns more often
VARIANT_NAMES = {"released": "as its authors trained it", "paper": "as the article describes it"}


def network_figures(evidence: Evidence) -> tuple[Figure, ...]:
    """Figure 3: both networks in both variants, drawn from the Keras models."""
    from unet_segnet.output.console import import_keras

    import_keras()
    from unet_segnet.models import build_model
    from unet_segnet.plots.diagram import draw_network

    made = []
    for variant in VARIANTS:
        for net in NETS:
            model = build_model(net, variant=variant, input_shape=(SIZE, SIZE, 1))
            made.append(
                Figure(
                    f"figure3_{net}_{variant}",
                    f"Figure 3. {NETWORKS[net].title} {VARIANT_NAMES[variant]}",
                    f"Drawn from the model itself, two classes, {model.count_params():,} parameters with the "
                    "statistics of batch normalisation. Each bar is a layer's output: its height stands for its "
                    "resolution, its width for the number of filters (written below). Dashed lines: places of maxima, "
                    "from pooling to unpooling; solid: outputs that are concatenated.",
                    draw_network(model),
                    f"Diagram of {NETWORKS[net].title}: the encoder on the left, the decoder on the right.",
                )
            )
    return tuple(made)


def dream_figures(evidence: Evidence) -> tuple[Figure, ...]:
    """Figure 5: images of each class of the SegNets at hand, by gradient ascent; none where there is no network."""
    dreaming = [network for network in evidence.networks if network.net == DREAMING]
    if not dreaming:
        return ()
    from unet_segnet.plots.deep_dream import deep_dream
    from unet_segnet.plots.dreams import dreams

    made = []
    for network in dreaming:
        names = CLASS_NAMES[network.problem]
        images = deep_dream(network.load(), tuple(range(len(names))), size=DREAM_SIZE)
        made.append(
            Figure(
                f"figure5_dreams_{network.key}",
                f"Figure 5. What the classes look like, {network.label}",
                "Gradient ascent from noise on the score of each class, in the last convolution: three "
                f"resolutions up to {DREAM_SIZE[0]} x {DREAM_SIZE[1]}, ten steps each, as in MATLAB's deepDreamImage; "
                "noise seed 0, grey levels stretched to the full range. Parts of "
                "an image may stay as they began, and another machine may draw them otherwise.",
                dreams(images, names),
                "A textured image for each class.",
            )
        )
    return tuple(made)
