#!/usr/bin/env bash
# From a folder of sounds to features, a trained model, its scores and pictures, and predictions of new files.
#
#   examples/pipeline.sh                   sounds: a copy of tests/assets/my_sounds
#   examples/pipeline.sh SOUNDS NEW...     sounds: SOUNDS/<class>/*.wav (or flac, mp3, ...); predict the files NEW
#
# Writes my_sounds/, features/, runs/ and predictions.csv into the current folder. A second run skips finished work.
set -euo pipefail

assets="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/tests/assets"
if [ $# -gt 0 ]; then
  sounds="$1"
  shift
else
  sounds=my_sounds
  [ -d "$sounds" ] || cp -R "$assets/my_sounds" "$sounds"
fi
if [ $# -eq 0 ]; then
  set -- "$assets/new/strum.flac"
fi
name="$(basename "$sounds")"
run="runs/$name"
recipe=(data.root="$sounds" data.shards="features/$name")

echo "== 1. Check the files: readable, silent, clipped"
slowfast data check folder --root "$sounds"

echo "== 2. Features: one log-mel per file, in HDF5"
slowfast extract --dataset folder --root "$sounds" --out "features/$name"

echo "== 3. Train from the features; the bundled model's weights are the start"
slowfast train folder "${recipe[@]}" data.source=shards --run "$run"

echo "== 4. Evaluate on the test files: scores, pictures per class, the confusion matrix"
slowfast evaluate "$run"

echo "== 5. Report: all runs here, and the files of this one"
slowfast runs ls
find "$run/evaluation" -type f | sort

echo "== 6. Predict new files"
slowfast predict "$@" --weights "$run" --csv predictions.csv
cat predictions.csv
