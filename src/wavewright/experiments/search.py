"""Search SampleRNN's frame sizes, tiers, units, length and learning rate with Optuna, as the thesis proposes (5.2.1).

A trial is trained in stages. A trial whose validation is worse than the median at a stage is pruned there.
"""

from typing import Any

import optuna
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import TrialState

from wavewright.errors import ConfigError
from wavewright.experiments import study
from wavewright.experiments.experiment import Experiment, Trial
from wavewright.experiments.piano import corpus_of
from wavewright.experiments.scales import Scale
from wavewright.files import write_json
from wavewright.training.loop import Budget

FRAMES = ("4", "8", "16", "8/2", "16/4", "32/8", "8/4/2", "32/8/2", "64/16/4")
LENGTHS = (256, 512, 1024)
STAGES = 5


def run(experiment: Experiment, trials: int | None = None, minutes: float | None = None) -> None:
    """Do the experiment and write search.json, with every trial, the importances and the best trial.

    Args:
        experiment: where the experiment happens.
        trials: number of trials, over all workers.
        minutes: training time of a trial that is not pruned.

    Raises:
        ConfigError: `trials` or `minutes` is not more than 0, or trials are chosen by name, which a search cannot do.
    """
    if experiment.only is not None:
        raise ConfigError(
            f"{' '.join(['--only', *experiment.only])}: a search draws its trials; say how many with --trials"
        )
    trials = experiment.size.search_trials if trials is None else trials
    if trials < 1:
        raise ConfigError(f"--trials {trials}: give more than 0")
    whole = Budget(minutes=experiment.size.search_minutes if minutes is None else minutes)
    corpus = corpus_of(experiment)
    opened = experiment.open_study(pruner=optuna.pruners.MedianPruner())

    def objective(trial: optuna.Trial) -> float:
        name = f"trial-{study.origin(trial):04d}"
        # With one seed, all workers and all sessions would draw the same trials.
        opened.sampler = optuna.samplers.TPESampler(seed=trial.number, multivariate=True)
        declared = _sample(trial, experiment.size)
        bits: float | None = None
        for stage in range(1, STAGES + 1):
            result = experiment.train(name, declared, corpus, budget=whole.part(stage / STAGES))
            bits = result.measures.get("validation_bits")
            if bits is None or result.lost:
                raise optuna.TrialPruned("given up")
            experiment.finish(result)
            trial.report(bits, stage)
            if trial.should_prune():
                raise optuna.TrialPruned
        assert bits is not None
        return bits

    study.work(opened, objective, trials)
    write_json(experiment.out / "search.json", _summary(opened))


def _sample(trial: optuna.Trial, scale: Scale) -> Trial:
    frames = trial.suggest_categorical("frame_sizes", FRAMES)
    units = trial.suggest_categorical("units", scale.search_units)
    length = trial.suggest_categorical("length", LENGTHS)
    rate = trial.suggest_float("learning_rate", 3e-4, 6e-3, log=True)
    return Trial(
        "sample-rnn",
        Budget(),
        preset="small",
        overrides=(
            f"model.frame_sizes=[{frames.replace('/', ',')}]",
            f"model.units={units}",
            f"training.length={length}",
            f"training.learning_rate={rate:.4g}",
            f"training.checkpoint_every={scale.search_checkpoint}",
            "training.sample_seconds=0",
        ),
    )


def _summary(opened: optuna.Study) -> dict[str, Any]:
    done = [trial for trial in opened.trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    complete = [trial for trial in done if trial.state == TrialState.COMPLETE]
    varied = len(complete) > 1 and len({trial.value for trial in complete}) > 1
    return {
        "trials": [
            {
                "number": study.origin(trial),
                "state": trial.state.name.lower(),
                "value": trial.value,
                "parameters": trial.params,
                "intermediate": trial.intermediate_values,
                "seconds": trial.duration.total_seconds() if trial.duration else None,
            }
            for trial in done
        ],
        "importances": get_param_importances(opened, evaluator=FanovaImportanceEvaluator(seed=0)) if varied else {},
        "best": study.origin(opened.best_trial) if complete else None,
    }
