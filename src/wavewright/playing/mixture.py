"""Mix two models that read the same codes, or a model with itself under other controls.

With logits l of the first model and m of the second, each code is drawn from the softmax of (1 - a) l + a m. This is
the normalised product p^(1 - a) q^a of their distributions. Guidance (arXiv:2207.12598) is a mixture too. Its second
model is the first one with every control absent, and its amount is negative.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wavewright.conditioning.controls import described
from wavewright.errors import ConfigError, printable
from wavewright.models.config import ModelConfig
from wavewright.playing.playable import Playable, Player, TrainedModel
from wavewright.quantize import Encoding
from wavewright.sampling import AMOUNT_MAX

if TYPE_CHECKING:
    from wavewright.playing.instrument import Instrument


@dataclass(frozen=True)
class Mixture(Playable):
    """Two models that are played as one, by `Controls.amount`. The facts are those of the first.

    Attributes:
        first: model that plays alone at amount 0.
        second: model that plays alone at amount 1.
    """

    first: TrainedModel
    second: TrainedModel

    @property
    def models(self) -> tuple[TrainedModel, ...]:
        """See Playable."""
        return self.first, self.second

    def player(self, streams: int = 1, seed: int = 0) -> Player:
        """See Playable."""
        return self.first.player(streams, seed, self.second)

    def instrument(self, seed: int = 0, *, amount: float = 0.5, **settings: Any) -> "Instrument":
        """Return an instrument to play both models by hand. Each follows the keys and controls that it has.

        Args:
            seed: decides the stream.
            amount: share of the second model.
            settings: the fields of Controls, each a single value. Without one, that of the first model holds (`draw`).

        Raises:
            ConfigError: a model makes impulse responses, or a setting is out of range.
        """
        from wavewright.playing.instrument import Instrument

        return Instrument(self, seed, replace(self.first.draw, amount=amount, **settings), both=True)


def must_agree(config: ModelConfig, encoding: Encoding, rate: int, emphasis: float) -> dict[str, str]:
    """Return what two models must have in common to be mixed, in words, by its names."""
    return {
        "sample rate": f"{rate} Hz",
        "number of codes": f"{config.q_levels}",
        "number of parts of a code": f"{len(config.output.parts)}",
        "encoding": encoding,
        "emphasis": f"{emphasis}",
    }


def mix(first: TrainedModel, second: TrainedModel) -> Mixture:
    """Return the mixture of two models of one back end, which may be one model under two sets of controls.

    Raises:
        ConfigError: the models differ in back end, sample rate, encoding, emphasis or number of codes.
    """
    names = [printable(model.path) for model in (first, second)]
    if not isinstance(second, type(first)):
        raise ConfigError(f"mix: {names[0]} and {names[1]} have different back ends; open both with one")
    facts = [must_agree(model.config, model.encoding, model.rate, model.emphasis) for model in (first, second)]
    for what, one in facts[0].items():
        other = facts[1][what]
        if one != other:
            raise ConfigError(f"mix: the {what} is {one} in {names[0]} and {other} in {names[1]}; it must be the same")
    return Mixture(**first.facts(), path=first.path, first=first, second=second)


def guided(model: TrainedModel, guidance: float) -> Mixture:
    """Return the mixture of a model with itself that guides it where it is played with amount -guidance.

    The second model is given no controls, so all of them are absent there.

    Raises:
        ConfigError: the model was made without controls, or the guidance is out of range.
    """
    if model.config.condition is None:
        raise ConfigError(f"guidance: {described(None)}; leave it out")
    if not 0 <= guidance <= AMOUNT_MAX:
        raise ConfigError(f"guidance: {guidance:g}; give 0 to {AMOUNT_MAX:g}, where 0 is none")
    return mix(model, model)
