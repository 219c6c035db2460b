"""The section on what networks go by: SHAP values drawn over what they see."""

import io

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from hsjax.evaluate.explanations import Patches
from hsjax.report import html
from hsjax.report.cells import caption
from hsjax.report.figures import STYLE, WIDTH, Picture
from hsjax.report.html import Content, element
from hsjax.report.run import Explained, Run

_COLOURS = "RdBu_r"
_WORDS = (
    "SHAP values (Lundberg and Lee 2017): how much each patch of a test window raises (red) or lowers (blue) the "
    "probability of a class, against windows of the training part whose patch stands in its place. A window's values "
    "and the mean probability over these other windows sum to the network's probability. They say what this network "
    "goes by, not what is wrong with the heart. Above what the network sees, dark to bright; below the decided class "
    "and the true one, or the next likeliest where they are the same."
)


def section(run: Run) -> html.Section | None:
    """Pictures of every explained window, by network; None where the run explains none."""
    if not run.explained:
        return None
    content: list[Content] = [html.paragraph(_WORDS)]
    for name in dict.fromkeys(_network(one) for one in run.explained):
        drawn = [
            html.figure(picture(one), caption(run, _caption(one))) for one in run.explained if _network(one) == name
        ]
        content += [element("h3", name), html.gallery(drawn)]
    return html.Section("explanations", "What the networks go by", content)


def _network(one: Explained) -> str:
    return f"{one.stage}, protocol {one.protocol}, seed {one.seed}"


def shown(one: Explained) -> tuple[int, int]:
    """The decided class, and the true one or, where that is the same, the next likeliest."""
    decided, following = np.argsort(-one.output, kind="stable")[:2].tolist()
    return decided, following if decided == one.label else one.label


def _caption(one: Explained) -> str:
    decided = shown(one)[0]
    told = ", ".join(f"{name} {value:.2f}" for name, value in zip(one.classes, one.output, strict=True))
    verdict = "decided rightly" if decided == one.label else f"decided wrongly: {one.classes[decided]}"
    return f"{one.title}; {verdict} ({told})"


def picture(one: Explained) -> Picture:
    """What the network sees, and over it the values of two classes, with one colour bar for both."""
    chosen = shown(one)
    coeffs, frames = one.features.shape
    limit = max(float(np.abs(one.values[list(chosen)]).max()), 1e-6)
    norm = Normalize(-limit, limit)
    extent = (0.0, one.seconds, -0.5, coeffs - 0.5)
    placed = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "extent": extent}
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure((WIDTH, 4.6), layout="constrained")
        above, *below = axes = figure.subplots(3, 1, sharex=True)
        above.imshow(one.features, cmap="cividis", **placed)
        above.set_title("what the network sees", fontsize=9)
        for place, index in zip(below, chosen, strict=True):
            place.imshow(one.features, cmap="gray", **placed)
            values = spread(one.values[index], coeffs, frames)
            # The more a patch matters, the less of the features shows through.
            opacity = 0.15 + 0.75 * np.abs(values) / limit
            place.imshow(values, norm=norm, cmap=_COLOURS, alpha=opacity, **placed)
            place.set_title(
                f"{one.classes[index]}: {one.expected[index]:.2f} {one.values[index].sum():+.2f} "
                f"= {one.output[index]:.2f}",
                fontsize=9,
            )
        for place in axes:
            place.set(ylabel="coefficient")
        axes[-1].set(xlabel="seconds")
        figure.colorbar(ScalarMappable(norm, _COLOURS), ax=list(below), label="probability", aspect=30)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=140, metadata={"Software": None})
    return Picture("image/png", buffer.getvalue(), _alt(one, chosen))


def spread(values: Float[np.ndarray, "rows columns"], coeffs: int, frames: int) -> Float[np.ndarray, "coeffs frames"]:
    """The value of each patch in every place of it."""
    return np.tensordot(values.reshape(-1), Patches(*values.shape).of(coeffs, frames), 1)


def _alt(one: Explained, chosen: tuple[int, int]) -> str:
    rows, columns = one.values.shape[1:]
    told = []
    for index in chosen:
        row, column = np.unravel_index(np.abs(one.values[index]).argmax(), (rows, columns))
        first, last = (one.seconds * edge / columns for edge in (column, column + 1))
        told.append(
            f"for {one.classes[index]} the values of {rows} x {columns} patches sum to "
            f"{one.values[index].sum():+.2f}, and the largest, {one.values[index][row, column]:+.2f}, is that of row "
            f"{row + 1} from below at {first:.1f} to {last:.1f} s"
        )
    return f"SHAP values of {_network(one)} on {one.title}: {'; '.join(told)}."
