"""Planning within limits: how many trials at a time, and what each process may take.

Memory is reckoned for a process as what the leading one takes now (the same imports, the same
pictures), and the network with its gradients, the optimiser's state and copies, and one batch on
its way through.
"""

import math
from dataclasses import dataclass

from headstart.data.sizes import size_words
from headstart.engine.costs import learning_bytes, working_bytes
from headstart.engine.limits import resident_bytes
from headstart.errors import StudyError
from headstart.networks.groups import count_parameters
from headstart.networks.heads import solvable_layer
from headstart.strategies.plan import Plan
from headstart.study.workplace import Workplace
from headstart.training.batches import evaluation_batch

_COPIES = (
    7  # of the weights: start, network, best so far, gradients, two of the optimiser, one more
)
_AFTERWARDS = 200_000_000  # bytes: what scores the trials and draws the report is loaded last
_SOLVED = 6  # copies of its features that solving a head takes, in bytes of float32


@dataclass(frozen=True)
class Staff:
    """Who does a study's jobs.

    Attributes:
        workers: Processes that train at a time; with one it is the leading process itself.
        memory: Bytes that each may take for features; None where that is left open.
    """

    workers: int
    memory: int | None = None


def staff(workplace: Workplace, waiting: int, jobs: int | None = None) -> Staff:
    """How many trials to train at a time, within the limits.

    Args:
        workplace: A study, its pictures at hand.
        waiting: How many trials are to be done.
        jobs: How many were asked for; as many as there are processors when omitted.

    Raises:
        StudyError: If not even one trial fits into the limits; it says what would.
    """
    limits, threads = workplace.limits, workplace.study.study.threads
    if limits.threads is not None and threads > limits.threads:
        raise StudyError(
            f"--threads {limits.threads}: every trial of this study takes {threads} "
            f"(study.threads): allow {threads}, or state fewer in the study"
        )
    cores = max(1, limits.processors // threads)
    most = cores if jobs is None else min(jobs, cores) if limits.threads is not None else jobs
    workers = max(1, min(most, waiting))
    if workplace.device.type != "cpu":
        workers = 1
    if limits.memory is None:
        return Staff(workers)
    here, fit = resident_bytes(), fit_bytes(workplace)
    lead = max(fit, _AFTERWARDS)
    if here + lead > limits.memory:
        raise StudyError(
            f"--memory {size_words(limits.memory)} is too small: training one trial takes about "
            f"{size_words(here + lead)}, of which {size_words(here)} are headstart, its libraries "
            f"and the pictures: allow that much, or use a smaller batch_size or image_size"
        )
    workers = min(workers, (limits.memory - here - _AFTERWARDS) // (here + fit))
    if workers < 2:
        return Staff(1, limits.memory - here - lead)
    return Staff(workers, (limits.memory - here - _AFTERWARDS) // workers - here - fit)


def fit_bytes(workplace: Workplace) -> int:
    """What training the largest of a study's trials takes in memory, pictures aside."""
    network, shape = workplace.making, workplace.images.picture_shape
    weights = 4 * count_parameters(network.parameters())
    learning, looking = learning_bytes(network, shape), working_bytes(network, shape)
    needed = [evaluation_batch(4 * math.prod(shape)) * looking]
    for name in workplace.study.strategy:
        plan = workplace.plan(name, network)
        needed += [
            _solving_bytes(workplace, plan)
            if phase.solver is not None
            else phase.batch_size * learning
            for phase in plan.phases
        ]
    plans = [workplace.plan(name, network) for name in workplace.study.strategy]
    ends = max(len(plan.ends_needed()) for plan in plans)
    return (_COPIES + ends) * weights + max(needed)


def _solving_bytes(workplace: Workplace, plan: Plan) -> int:
    """What solving a head takes: the features of its training and validation pictures."""
    task = workplace.task(workplace.study.study.seeds[0])
    phase = next(phase for phase in plan.phases if phase.solver is not None)
    network = workplace.tapped.making(plan.taps)
    cut = workplace.tapped.keeper(plan.taps).cuts(network).before(network, phase)
    entered = math.prod(cut.shape if cut is not None else workplace.images.picture_shape)
    layer = network.head.get_submodule(solvable_layer(network.head) or "")
    numbers = max(entered, int(layer.in_features))  # type: ignore[arg-type]
    return 4 * _SOLVED * numbers * (len(task.train_rows) + len(task.valid_rows))
