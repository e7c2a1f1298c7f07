"""Which slices of own data train, validate and test: as a manifest marks them, as a file says, or drawn by patient."""

import numpy as np
import pytest
from own_data import write_cohort

from unet_segnet.cohort.load import load_cohort
from unet_segnet.cohort.splits import check_splits, draw_folds, draw_split, sizes_text, splits_from_file
from unet_segnet.data.splits import PARTS, Split, write_splits
from unet_segnet.errors import InputError


@pytest.fixture
def marked(tmp_path):
    """Gives a cohort of five volumes, three slices each, of these patients and parts."""
    folder = write_cohort(tmp_path, 5)

    def load(*rows):
        lines = ["image,labels,lungs,patient,part"]
        for number, (patient, part) in enumerate(rows, 1):
            files = ",".join(f"{kind}/p{number}.nii.gz" for kind in ("images", "labels", "lungs"))
            lines.append(f"{files},{patient},{part}")
        (folder / "list.csv").write_text("\n".join(lines) + "\n")
        return load_cohort(folder / "list.csv", size=32)

    return load


def patients(cohort, split):
    return [sorted({cohort.patients[index] for index in getattr(split, part)}) for part in PARTS]


def test_the_manifests_marks_are_followed(marked):
    cohort = marked(("a", ""), ("b", ""), ("c", "test"), ("d", ""), ("e", "test"))
    train, validation, test = patients(cohort, draw_split(cohort))
    assert test == ["c", "e"] and len(validation) == 1 and sorted(train + validation) == ["a", "b", "d"]
    cohort = marked(("a", "train"), ("b", "train"), ("c", "validation"), ("d", "test"), ("e", "test"))
    split = draw_split(cohort)
    assert patients(cohort, split) == [["a", "b"], ["c"], ["d", "e"]]
    assert sizes_text(cohort, split) == "train 6 slices of 2, validation 3 slices of 1, test 6 slices of 2 patients"
    with pytest.raises(InputError, match=r"^`test_share`: .*list\.csv marks its test data; leave it out$"):
        draw_split(cohort, test_share=0)


def test_a_patient_in_two_parts_is_refused(marked):
    cohort = marked(("a", ""), ("a", ""), ("a", ""), ("a", ""), ("a", "test"))
    for draw in (draw_split, lambda cohort: draw_folds(cohort, 2)):
        with pytest.raises(InputError, match="patient a is marked test, and elsewhere not"):
            draw(cohort)


def test_folds_leave_marked_test_data_out(marked):
    cohort = marked(("a", ""), ("b", "train"), ("c", ""), ("d", "validation"), ("e", "test"))
    folds, notes = draw_folds(cohort, 2, validation_share=0)
    assert sorted(name for fold in folds for name in patients(cohort, fold)[2]) == ["a", "b", "c", "d"]
    assert not any("e" in name for fold in folds for part in patients(cohort, fold) for name in part)
    assert [note.split(" slices")[0] for note in notes] == ["note: 3", "note: 6"]


def test_a_file_that_trains_on_marked_test_data_is_warned_of(marked, tmp_path):
    cohort = marked(("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", "test"))
    train, test = np.arange(3, 15), np.arange(3)  # the last three are e's
    write_splits(tmp_path / "split.json", [Split(train, np.zeros(0, int), test)], cohort.slices.names, cohort.groups)
    (split,), warnings = splits_from_file(tmp_path / "split.json", cohort)
    assert split.train.tolist() == train.tolist() and split.test.tolist() == test.tolist()
    assert len(warnings) == 1 and "trains on 3 slices" in warnings[0] and "marks test" in warnings[0]
    good = Split(test, np.zeros(0, int), train)
    write_splits(tmp_path / "split.json", [good], cohort.slices.names, cohort.groups)
    assert splits_from_file(tmp_path / "split.json", cohort)[1] == []


def test_splits_that_are_of_no_use_are_refused(marked):
    cohort = marked(("a", ""), ("b", ""), ("c", ""), ("d", ""), ("e", ""))
    split = Split(np.arange(6), np.zeros(0, int), np.arange(6, 15))
    check_splits(cohort, [split], batch_size=4, needs_validation=False)
    with pytest.raises(InputError, match="there are none; use `keep` last with grid"):
        check_splits(cohort, [split], batch_size=4, needs_validation=True)
    with pytest.raises(InputError, match=r"6 training slices do not fill one mini-batch of 7; .* smaller `batch_size`"):
        check_splits(cohort, [split], batch_size=7, needs_validation=False)
