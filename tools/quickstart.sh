#!/usr/bin/env bash
# From a bare clone to masks of objects never seen in training, in minutes:
# install, train a small HSNet on bundled photos, test it on unseen classes.
#   bash tools/quickstart.sh [WORK_DIR]      default: work_dirs/quickstart in the repository
# Run it again: what is done is skipped.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=${1:-$root/work_dirs/quickstart}
mkdir -p "$work"
work=$(cd "$work" && pwd)
cd "$root"
config=configs/hsnet_mobilenetv2_objects30.py
began=$SECONDS

bash tools/setup_env.sh onedl

if [ -f "$work/trained" ]; then
    echo "== Trained already: $work"
else
    echo "== Training HSNet-MobileNetV2 on 20 subjects (a few minutes on 2 cores)"
    .venv/bin/python tools/train.py "$config" --work-dir "$work" --resume \
        --cfg-options val_cfg=None val_dataloader=None val_evaluator=None \
        default_hooks.checkpoint.save_best=None
    touch "$work/trained"
fi

if [ -f "$work/result.json" ]; then
    echo "== Tested already"
else
    echo "== Testing on 10 subjects that it never saw"
    .venv/bin/python tools/test.py "$config" "$(cat "$work/last_checkpoint")" \
        --work-dir "$work/test" --show-dir "$work/pictures" \
        --report "$work/result.json"
fi

.venv/bin/python - "$work" <<'PYTHON'
import json
import sys
result = json.load(open(f'{sys.argv[1]}/result.json'))
print('\n== Result on 10 unseen subjects, 1 annotated photo each')
print(f'   HSNet-MobileNetV2   mIoU {result["mIoU"]:5.1f}   '
      f'FB-IoU {result["FB-IoU"]:5.1f}')
print(f'   all foreground      mIoU {result["mIoU_all_foreground"]:5.1f}')
PYTHON
echo "   pictures: $work/pictures/*.png   (support | prediction | ground truth)"
echo "   figures:  $work/result.json      took $((SECONDS - began)) s"
