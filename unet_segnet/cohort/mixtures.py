"""What does not belong together in a data set: units, label values, lungs marked as lesions, names, others' labels."""

from collections import Counter
from collections.abc import Iterator, Sequence

from unet_segnet.cohort.classes import GIVEN, Classes
from unet_segnet.cohort.conventions import ALL_LUNG
from unet_segnet.data.mask_fit import BAD_FIT
from unet_segnet.errors import some

WITH_THE_SCANS = "given with the scans"  # of lungs


def mixtures(loaded: Sequence, classes: Classes) -> Iterator[tuple[str, list[str]]]:
    """Lines about scans that are unlike the others, each with a count and the first names; and all names of these.

    Arguments:
        loaded: of all labelled scans, `unet_segnet.cohort.load.LoadedCase` or `unet_segnet.cohort.examine.CaseCounts`.
        classes: what their label values mean.
    """
    by_units: dict[str, list[str]] = {}
    for one in loaded:
        by_units.setdefault(one.facts.units, []).append(one.case.name)
    if len(by_units) > 1:
        listed = " and ".join(
            f"{len(names)} in {'Hounsfield units' if units == 'HU' else '8-bit grey levels'} ({some(names)})"
            for units, names in by_units.items()
        )
        yield (
            (
                f"WARNING: scans of two kinds: {listed}; the window applies to Hounsfield units only, so that one grey "
                "level may mean two tissues; expected scans of one kind: take the originals of the 8-bit ones"
            ),
            min(by_units.values(), key=len),
        )
    spellings: dict[str, dict[str, list[str]]] = {}
    for one in loaded:
        if one.patient:
            spellings.setdefault(one.patient.casefold(), {}).setdefault(one.patient, []).append(one.case.name)
    if alike := [of for of in spellings.values() if len(of) > 1]:
        listed = some([" and ".join(of) for of in alike])
        yield (
            (
                f"WARNING: patients whose names differ in case alone count as several: {listed}; if one is meant, a "
                "split may put it on both sides: give it one name"
            ),
            [name for of in alike for names in of.values() for name in names],
        )
    marked = {one.case.name: frozenset(one.found.values) - {0} for one in loaded if one.found}
    if not classes.are_lesions:
        yield from _other_values(marked)
    full = [
        one.case.name
        for one in loaded
        if one.found and len(one.names) > 1 and sum(one.found.covered.values()) >= ALL_LUNG * one.found.lungs > 0
        if len(one.found.covered) == 1
    ]
    if full and classes.origin != GIVEN:
        yield (
            (
                f"WARNING: {len(full)} of {len(loaded)} label files mark {ALL_LUNG:.0%} of the lungs and more "
                f"({some(full)}): are they lung masks, not lesions?"
            ),
            full,
        )


def outside_lungs(one, lesion: int, outside: int) -> str:
    """A line about a case whose labels lie outside its lungs, in more than `BAD_FIT` of its lesion pixels; else "".

    Arguments:
        one: `LoadedCase` or `unet_segnet.cohort.examine.CaseCounts`.
        lesion, outside: numbers of lesion pixels, and of those of them outside the lungs.
    """
    if outside <= BAD_FIT * lesion:
        return ""
    line = f"{one.case.name}: {outside / lesion:.0%} of its lesion pixels lie outside the lungs"
    if one.facts.lungs == WITH_THE_SCANS:
        return f"{line}; expected labels that belong to this scan, are they another's, or turned?"
    return f"{line} (lungs: {one.facts.lungs})"


def _other_values(marked: dict[str, frozenset[int]]) -> Iterator[tuple[str, list[str]]]:
    """A line and names where some files have none of the values that the others have."""
    counts = Counter(values for values in marked.values() if values)
    if len(counts) < 2:
        return
    usual = counts.most_common(1)[0][0]
    others = {values: [n for n, of in marked.items() if of == values] for values in counts if not values & usual}
    for values, names in others.items():
        yield (
            (
                f"WARNING: {len(names)} of {len(marked)} label files mark {_listed(values)}, where most mark "
                f"{_listed(usual)} ({some(names)}): do they mean the same?"
            ),
            names,
        )


def _listed(values: frozenset[int]) -> str:
    return " ".join(map(str, sorted(values)))
