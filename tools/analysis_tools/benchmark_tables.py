"""The benchmark's figures as tables."""
from prettytable import PrettyTable

NOTE = ('ratio: the other\'s time over ours, round by round: median (lowest to '
        'highest). limit: multiply-adds over the rate of the matrix product.')


def print_tables(result: dict) -> None:
    """Print what ``benchmark.py`` measured."""
    names, computer, matmul = (
        result[key] for key in ('compared', 'machine', 'matmul'))
    height, width = result['shape']
    print(f'{result["config"]}: {height} x {width} pixels, {result["weights"]} '
          f'weights, {result["repeats"]} rounds\n'
          f'{computer["device"]}, {computer["cpu"]}, {computer["threads"]} '
          f'threads, torch {computer["torch"]}\n'
          f'matrix product {matmul["size"]} x {matmul["size"]}, '
          f'{matmul["dtype"]}: {matmul["multiply_adds_per_second"] / 1e9:.1f} G '
          'multiply-adds/s')

    table = _table('', *names)
    for episode in result['inference']:
        shot = f'{episode["shot"]}-shot'
        _add(table, f'{shot} episode, loaded', episode['predict'], names,
             episode['limit'])
        _add(table, f'{shot} episode, from disk', episode['end_to_end'], names)
    if 'training' in result:
        step = result['training']
        _add(table, f'training step, batch {step["batch"]}', step, names,
             step['limit'])
    print(table)
    print(NOTE)

    for episode in result['inference']:
        shot = f'{episode["shot"]}-shot'
        rates = ', '.join(
            f'{name} {1 / episode["end_to_end"][name]["median"]:.3g}'
            for name in names)
        print(f'{shot}: episodes/s from disk: {rates}; logits up to '
              f'{episode["largest_logit"]:.3g} differ by at most '
              f'{episode["logit_difference"]:.1e}; of the pixels '
              f'{100 * episode["equal_pixels"]:.3f} % are equal, '
              f'{100 * episode["foreground"]:.0f} % foreground')
    if 'training' in result:
        print(f'training: loss {step["loss"]:.6f}, difference '
              f'{step["loss_difference"]:.1e}')

    for episode in result['inference']:
        if 'stages' in episode:
            table = _table(f'{episode["shot"]}-shot, by stage', *names)
            for stage, figures in episode['stages'].items():
                _add(table, stage, figures, names, figures['limit'])
            print(table)
    if 'memory' in result:
        _print_memory(result['memory'], names)


def _table(title: str, *names: str) -> PrettyTable:
    columns = [title, *(f'{name} (ms)' for name in names), 'ratio', 'limit (ms)',
               'time / limit']
    table = PrettyTable(columns, align='r')
    table.align[title] = 'l'
    return table


def _add(table: PrettyTable, title: str, figures: dict, names: list,
         limit: float = 0) -> None:
    ratio = figures['ratio']
    row = [title, *(f'{1000 * figures[n]["median"]:.1f}' for n in names)]
    row.append(f'{ratio["median"]:.2f} ({ratio["min"]:.2f} to {ratio["max"]:.2f})')
    if limit:
        ours = figures[names[0]]['median']
        row += [f'{1000 * limit:.1f}', f'{ours / limit:.2f}']
    table.add_row(row + [''] * (len(table.field_names) - len(row)))


def _print_memory(works: list, names: list) -> None:
    table = PrettyTable(
        ['peak memory (MiB)', *(f'{n}: before + for it' for n in names), 'ratio'],
        align='r')
    table.align['peak memory (MiB)'] = 'l'
    for work in works:
        row = ['training step' if work['train'] else f'{work["shot"]}-shot episode']
        added = []
        for name in names:
            if work[name] is None:
                row.append('not known here')
                continue
            before = work[name]['baseline']
            added.append(work[name]['peak'] - before)
            row.append(f'{before / 2**20:.0f} + {added[-1] / 2**20:.0f}')
        row.append(f'{added[1] / added[0]:.2f}' if len(added) == 2 else '')
        table.add_row(row)
    print(table)
