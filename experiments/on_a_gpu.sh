#!/usr/bin/env bash
# What decides most of the open claims, on a GPU that is there for an hour: trainings first, then speed and determinism.
#
#   pip install -r requirements.txt "jax[cuda12]"      # once, on the machine with the GPU
#   unet-segnet data fetch                             # or UNET_SEGNET_DATA=FOLDER, with COVID19-DL, ct20, medseg9
#   experiments/on_a_gpu.sh                            # an hour
#   MINUTES=300 WORKERS=8 experiments/on_a_gpu.sh      # five hours, eight trainings side by side
#   REHEARSE=1 KERAS_BACKEND=tensorflow experiments/on_a_gpu.sh    # all steps, tiny, on a processor: three minutes
#
# Trainings begin in the order of worth, and none of the first study's begins that would not be finished in time; one of
# the second study's that is cut off goes on from its last epoch. What is finished is packed after each step: take
# OUT/packed home. Started again, everything goes on where it was. A step that fails does not stop the next ones.
set -eu
cd "$(dirname "$0")/.."

MINUTES=${MINUTES:-60}    # that the machine is there
RESERVE=${RESERVE:-12}    # of them for bench and determinism, at the end
WORKERS=${WORKERS:-4}     # trainings side by side
OUT=${OUT:-runs}
PYTHON=${PYTHON:-.venv/bin/python}
export KERAS_BACKEND="${KERAS_BACKEND:-jax}" PYTHONUNBUFFERED=1
PACKED=$OUT/packed
FIRST=experiments/saood2021 SECOND=experiments/bizopoulos2021
failed=""

study=() second=() all=() bench=(--parts "peak,step,inference,processor") determinism=()
mkdir -p "$PACKED"
grep -v "^the nine," $FIRST/plan.csv >"$PACKED/first.csv" # these come after the other studies
cp $FIRST/side_study.csv "$PACKED/side.csv"
cp $SECOND/plan.csv "$PACKED/second.csv"
if [ -n "${REHEARSE:-}" ]; then
    MINUTES=6 RESERVE=2 WORKERS=2
    head -n 1 $FIRST/plan.csv | tee "$PACKED/side.csv" >"$PACKED/first.csv"
    echo "rehearsal,grid,segnet,released,binary,4,0" >>"$PACKED/first.csv"
    printf 'rehearsal,%s,0\n' side,segnet,released,binary,3 side-cut,segnet,released,binary,1 >>"$PACKED/side.csv"
    head -n 2 $SECOND/plan.csv >"$PACKED/second.csv"
    study=(--data phantom --size 32 --epochs 3)
    second=(--data phantom --test phantom --size 32 --epochs 1 --experiment lung
        --only "architecture=pspnet,encoder=resnet18")
    all=(--variant released --net segnet --problem binary --parts best)
    bench=(--parts peak --peak-size 64 --repeats 1 --nets segnet --variants released --dtypes float32)
    determinism=(--nets segnet --size 32 --epochs 1)
fi

left() { # MINUTES: seconds until so many minutes before the end
    echo $((60 * (MINUTES - $1) - SECONDS))
}

step() { # WHAT COMMAND...: say it and do it; what fails is told at the end
    printf '\n== %s (%d of %d minutes are over)\n' "$1" $((SECONDS / 60)) "$MINUTES"
    local what=$1 status=0
    shift
    "$@" || status=$?
    [ $status -ne 130 ] || exit 130
    if [ $status -eq 124 ]; then
        echo "cut off: the time is over"
    elif [ $status -ne 0 ]; then
        failed="$failed; $what"
    fi
    return 0
}

train() { # WHAT OPTIONS...: trainings of the first study that can be finished before the reserve begins
    local seconds what=$1
    shift
    seconds=$(left "$RESERVE")
    if [ "$seconds" -gt 0 ]; then
        step "$what" "$PYTHON" -m experiments.study --out "$OUT" --workers "$WORKERS" \
            --budget "$(awk "BEGIN { print $seconds / 60 }")" "$@" "${study[@]+"${study[@]}"}"
        pack
    fi
}

within() { # MINUTES COMMAND...: interrupted when only so many are left
    local seconds
    seconds=$(left "$1")
    shift
    [ "$seconds" -gt 0 ] || return 124
    timeout --foreground --signal=INT --kill-after=60 "$seconds" "$@"
}

pack() { # all finished runs, small: the first study's for `study --merge`, the second's to be unpacked into its --out
    if compgen -G "$OUT/*/*/*/result.json" >/dev/null; then
        step "packing the first study" "$PYTHON" -m experiments.study --out "$OUT" --pack "$PACKED/first_study.zip" --force
    fi
    if [ -d "$OUT/compare" ]; then
        step "packing the second study" tar -czf "$PACKED/second_study.tar.gz" --exclude='model.keras' \
            --exclude='state*' --exclude='lock*' -C "$OUT" compare
    fi
}

trap 'exit 130' INT TERM
device=$("$PYTHON" -c 'from unet_segnet.devices import accelerators; print(*(of.name for of in accelerators()), sep=", ")' \
    2>/dev/null | tail -n 1)
if [ -z "$device" ] && [ -z "${REHEARSE:-}" ]; then
    echo "error: $KERAS_BACKEND finds no GPU here: install its CUDA build (experiments/README.md), or try REHEARSE=1" >&2
    exit 2
fi
echo "On ${device:-the processor} with $KERAS_BACKEND: $MINUTES minutes, $WORKERS trainings side by side, into $OUT"

train "first study, what decides most" --plan "$PACKED/first.csv"
train "side study of mini-batches" --plan "$PACKED/side.csv"
step "second study" within "$RESERVE" "$PYTHON" -m experiments.compare --plan "$PACKED/second.csv" --out "$OUT" \
    --workers "$WORKERS" "${second[@]+"${second[@]}"}"
pack
if [ -z "${REHEARSE:-}" ]; then
    train "first study, the other configurations" --plan $FIRST/plan.csv
fi
train "first study, all of it" "${all[@]+"${all[@]}"}"
step "bench" within 1 "$PYTHON" -m experiments.bench --out "$PACKED/bench" --force "${bench[@]}"
step "determinism" within 0 "$PYTHON" -m experiments.determinism --out "$PACKED/determinism.csv" --force \
    "${determinism[@]+"${determinism[@]}"}"

printf '\nfinished: %s runs; take %s home\n' "$(find "$OUT" -name result.json | wc -l)" "$PACKED"
if [ -n "$failed" ]; then
    echo "error: failed: ${failed#; }" >&2
    exit 1
fi
