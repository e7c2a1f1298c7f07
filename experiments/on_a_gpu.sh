#!/usr/bin/env bash
# What decides most of the open claims, on a GPU that is there for an hour: trainings first, then speed and determinism.
#
#   pip install -r requirements.txt "jax[cuda12]"      # once, on the machine with the GPU
#   unet-segnet data fetch                             # or UNET_SEGNET_DATA=FOLDER, with COVID19-DL, ct20, medseg9
#   experiments/on_a_gpu.sh                            # an hour
#   MINUTES=300 WORKERS=8 experiments/on_a_gpu.sh      # five hours, eight trainings side by side
#   REHEARSE=1 KERAS_BACKEND=tensorflow experiments/on_a_gpu.sh    # all steps, tiny, on a processor: three minutes
#
# Trainings begin in the order of worth, but for those of the first study that experiments/results holds already, and
# none of these begins that would not be finished in time; what is cut off goes on from its last epoch. What is finished
# is packed after each step: take PACKED home. Started again with the same RUNS, everything goes on where it was. A step
# that fails does not stop the next ones.
set -eu
cd "$(dirname "$0")/.."

MINUTES=${MINUTES:-60}    # that the machine is there
# Of them for bench and determinism, at the end: a fifth, 2 to 12.
RESERVE=${RESERVE:-$((MINUTES < 10 ? 2 : MINUTES < 60 ? MINUTES / 5 : 12))}
WORKERS=${WORKERS:-4}     # trainings side by side
RUNS=${RUNS:-runs${REHEARSE:+/rehearsal}}
PYTHON=${PYTHON:-.venv/bin/python}
export KERAS_BACKEND="${KERAS_BACKEND:-jax}" PYTHONUNBUFFERED=1
PACKED=${PACKED:-$RUNS/packed}
FIRST=experiments/saood2021 SECOND=experiments/bizopoulos2021
failed=""

first_plan=$FIRST/plan.csv side_plan=$FIRST/side_study.csv second_plan=$SECOND/plan.csv
study=(--skip-published) second=() all=() bench=(--parts "peak,step,inference,processor") determinism=()
mkdir -p "$PACKED"
if [ -n "${REHEARSE:-}" ]; then
    MINUTES=6 RESERVE=2 WORKERS=2
    first_plan=$RUNS/first.csv side_plan=$RUNS/side.csv second_plan=$RUNS/second.csv
    head -n 1 $FIRST/plan.csv | tee "$side_plan" >"$first_plan"
    echo "rehearsal,grid,segnet,released,binary,4,0" >>"$first_plan"
    printf 'rehearsal,%s,0\n' side,segnet,released,binary,3 side-cut,segnet,released,binary,1 >>"$side_plan"
    head -n 2 $SECOND/plan.csv >"$second_plan"
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
        # An estimate may be wrong: half of the reserve is there to interrupt in, pack and measure.
        step "$what" within $((RESERVE / 2)) "$PYTHON" -m experiments.study --out "$RUNS" --workers "$WORKERS" \
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
    if compgen -G "$RUNS/*/*/*/result.json" >/dev/null; then
        step "packing the first study" "$PYTHON" -m experiments.study --out "$RUNS" --pack "$PACKED/first_study.zip" --force
    fi
    if [ -d "$RUNS/compare" ]; then
        step "packing the second study" tar -czf "$PACKED/second_study.tar.gz" --exclude='model.keras' \
            --exclude='state*' --exclude='lock*' -C "$RUNS" compare
    fi
}

trap 'exit 130' INT TERM
device=$("$PYTHON" -c 'from unet_segnet.devices import accelerators; print(*(of.name for of in accelerators()), sep=", ")' \
    2>/dev/null | tail -n 1)
if [ -z "$device" ] && [ -z "${REHEARSE:-}" ]; then
    echo "error: $KERAS_BACKEND finds no GPU here: install its CUDA build (experiments/README.md), or try REHEARSE=1" >&2
    exit 2
fi
if [ "$(left "$RESERVE")" -le 0 ]; then
    echo "error: no time for a training in $MINUTES minutes of which $RESERVE are for bench and determinism" >&2
    exit 2
fi
echo "On ${device:-the processor} with $KERAS_BACKEND: $MINUTES minutes, $WORKERS trainings side by side, into $RUNS"

train "first study, what decides most" --plan "$first_plan"
train "side study of mini-batches" --plan "$side_plan"
step "second study" within "$RESERVE" "$PYTHON" -m experiments.compare --plan "$second_plan" --out "$RUNS" \
    --workers "$WORKERS" "${second[@]+"${second[@]}"}"
pack
if [ -z "${REHEARSE:-}" ]; then
    train "first study, the other configurations" --plan $FIRST/the_nine.csv
fi
train "first study, all of it" "${all[@]+"${all[@]}"}"
step "bench" within 1 "$PYTHON" -m experiments.bench --out "$PACKED/bench" --force "${bench[@]}"
step "determinism" within 0 "$PYTHON" -m experiments.determinism --out "$PACKED/determinism.csv" --force \
    "${determinism[@]+"${determinism[@]}"}"

printf '\nfinished: %s runs; take %s home\n' "$(find "$RUNS" -name result.json | wc -l)" "$PACKED"
if [ -n "$failed" ]; then
    echo "error: failed: ${failed#; }" >&2
    exit 1
fi
