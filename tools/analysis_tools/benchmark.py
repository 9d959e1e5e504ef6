"""Speed and memory of a model, beside the textbook form of the same maths.

    python tools/analysis_tools/benchmark.py CONFIG [--shots 1 5] [--stages] \
        [--train] [--memory] [--out FILE.json]

Both forms have the same weights and episodes and run in turn. With --amp the
model under autocast runs beside itself in float32. docs/performance.md says
what is measured and how.
"""
import argparse
import json
import os.path as osp
import statistics
from functools import partial
from typing import Callable, Dict, List, Optional

import torch
from benchmark_tables import print_tables
from contender import AMP, Contender, episodes
from get_flops import add_arguments, check_arguments, count_multiply_adds
from measuring import (
    compare,
    in_own_process,
    interleaved,
    machine,
    matmul_rate,
    peak_while,
)
from mmengine.evaluator import Evaluator
from torch.utils.flop_counter import FlopCounterMode


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    add_arguments(parser)
    parser.add_argument(
        '--shots', type=int, nargs='+', default=[1, 5],
        help='numbers of supports (default: 1 5)')
    parser.add_argument(
        '--batch', type=int, default=4,
        help='episodes of a training step (default: 4)')
    parser.add_argument(
        '--repeats', type=int, default=5, help='measured rounds (default: 5)')
    parser.add_argument(
        '--stages', action='store_true', help='also measure each stage')
    parser.add_argument(
        '--train', action='store_true', help='also measure a training step')
    parser.add_argument(
        '--memory', action='store_true', help='also measure peak memory')
    parser.add_argument(
        '--amp', choices=list(AMP),
        help='compare mixed precision with float32, in place of the textbook')
    parser.add_argument(
        '--checkpoint', help='weights (default: random ones, which take as long)')
    parser.add_argument(
        '--own-data', action='store_true',
        help="the config's test data in place of the bundled photos")
    parser.add_argument('--out', help='JSON file for all figures')
    args = parser.parse_args()
    check_arguments(parser, args, args.batch, args.repeats, *args.shots)
    check_out(parser, args)
    return args


def check_out(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Before anything is measured."""
    if args.out and not osp.isdir(osp.dirname(osp.abspath(args.out))):
        parser.error(f'--out: there is no folder {osp.dirname(args.out)!r}')


def contenders(args: argparse.Namespace) -> Dict[str, Callable[[], Contender]]:
    """Name -> how to build it, first ours, then what it is compared with."""
    if args.amp:
        return {
            args.amp: partial(Contender, args, amp=args.amp),
            'float32': partial(Contender, args)
        }
    return dict(
        mmfss=partial(Contender, args),
        textbook=partial(Contender, args, textbook=True))


def measure_inference(args: argparse.Namespace, forms: Dict[str, Contender],
                      shot: int, rate: float) -> dict:
    """Episodes from the photo on disk to the metric."""
    ours, other = forms.values()
    data = next(episodes(args, shot))
    logits = [form.logits(data) for form in (ours, other)]
    multiply_adds = count_multiply_adds(ours.model, *args.shape, shot)
    masks = {name: [] for name in forms}

    def run(name, form, batches, evaluator, clock):
        with clock('load'):
            data = next(batches)
        with clock('predict'):
            samples = form.predict(data)
        with clock('metric'):
            evaluator.process(samples, data)
        masks[name].append(samples[0].pred_sem_seg.data.bool())

    rounds = interleaved(with_episodes(args, forms, shot, run), args.repeats,
                         ours.device)
    equal = [(a == b).float().mean().item() for a, b in zip(*masks.values())]
    result = dict(
        shot=shot,
        predict=compare(part(rounds, 'predict')),
        end_to_end=compare(part(rounds, 'load', 'predict', 'metric')),
        limit=multiply_adds['total'] / rate,
        multiply_adds=multiply_adds,
        largest_logit=logits[1].abs().max().item(),
        logit_difference=(logits[0] - logits[1]).abs().max().item(),
        equal_pixels=statistics.mean(equal),
        foreground=torch.stack(next(iter(masks.values()))).float().mean().item())
    if args.stages:
        rounds = interleaved(
            with_episodes(args, forms, shot, run_stages), args.repeats,
            ours.device)
        result['stages'] = {
            stage: dict(
                compare(part(rounds, stage)),
                limit=multiply_adds.get(stage, 0) / rate)
            for stage in rounds[next(iter(forms))][0]
        }
    return result


def with_episodes(args: argparse.Namespace, forms: Dict[str, Contender],
                  shot: int, run: Callable) -> Dict[str, Callable]:
    """Give each form its own, equal, stream of episodes and its metric."""
    return {
        name: partial(run, name, form, episodes(args, shot),
                      Evaluator(dict(type='FewShotIoU')))
        for name, form in forms.items()
    }


def run_stages(name, form, batches, evaluator, clock):
    form.stages(batches, evaluator, clock)


def part(rounds: Dict[str, List[dict]], *parts: str) -> Dict[str, List[float]]:
    """Seconds of some parts together, of every form and round."""
    return {
        name: [sum(seconds[p] for p in parts) for seconds in of_form]
        for name, of_form in rounds.items()
    }


def measure_training(args: argparse.Namespace, forms: Dict[str, Contender],
                     rate: float) -> dict:
    """Training steps on one batch of 1-shot episodes."""
    data = next(episodes(args, 1, args.batch))
    ours, other = forms.values()
    with FlopCounterMode(display=False) as counter:
        loss = ours.train_step(data)
    difference = abs(loss - other.train_step(data))
    multiply_adds = counter.get_total_flops() // 2

    def run(form, clock):
        with clock('step'):
            form.train_step(data)

    rounds = interleaved({name: partial(run, form) for name, form in forms.items()},
                         args.repeats, ours.device)
    return dict(
        compare(part(rounds, 'step')),
        batch=args.batch,
        limit=multiply_adds / rate,
        multiply_adds=multiply_adds,
        loss=loss,
        loss_difference=difference)


def memory_of(args: argparse.Namespace, build: Callable, shot: int,
              train: bool) -> Optional[dict]:
    """In a process of its own: an episode's or a training step's memory."""
    data = next(episodes(args, shot, args.batch if train else 1))
    form = build()
    return peak_while(partial(form.train_step if train else form.predict, data))


def measure_memory(args: argparse.Namespace) -> List[dict]:
    works = [(shot, False) for shot in args.shots]
    works += [(1, True)] if args.train else []
    return [
        dict(
            shot=shot,
            train=train,
            **{
                name: in_own_process(memory_of, args, build, shot, train)
                for name, build in contenders(args).items()
            }) for shot, train in works
    ]


def main() -> None:
    args = parse_args()
    forms = {name: build() for name, build in contenders(args).items()}
    device = next(iter(forms.values())).device
    matmul = matmul_rate(device, AMP.get(args.amp, torch.float32))
    rate = matmul['multiply_adds_per_second']
    result = dict(
        config=osp.splitext(osp.basename(args.config))[0],
        shape=args.shape,
        repeats=args.repeats,
        compared=list(forms),
        weights=args.checkpoint or 'random',
        machine=machine(device),
        matmul=matmul,
        inference=[
            measure_inference(args, forms, shot, rate) for shot in args.shots
        ])
    if args.train:
        result['training'] = measure_training(args, forms, rate)
    if args.memory:
        del forms
        result['memory'] = measure_memory(args)
    print_tables(result)
    if args.out:
        with open(args.out, 'w') as file:
            json.dump(result, file, indent=2)


if __name__ == '__main__':
    main()
