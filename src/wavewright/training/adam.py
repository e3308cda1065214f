"""Adam (arXiv:1412.6980) by torch's own kernels, without its class.

Creating a `torch.optim.Adam` imports torch's compiler, which a training without it waits seconds for. The function that
the class calls at each step imports nothing and gives the same bits.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """An optimiser of `parameters`, which have gradients at every step and lie on one device.

    `factors` has a number for each parameter, by which its learning rate is multiplied. Without it, all are 1.

    Attributes:
        state: the number of steps (`step`) and both moments (`exp_avg`, `exp_avg_sq`) of each parameter, from its
            first step on.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor],
        *,
        betas: tuple[float, float],
        epsilon: float,
        factors: Sequence[float] = (),
    ) -> None:
        self.parameters = list(parameters)
        self.groups: dict[float, list[Tensor]] = {}
        for parameter, factor in zip(self.parameters, factors or [1.0] * len(self.parameters), strict=True):
            self.groups.setdefault(factor, []).append(parameter)
        self.betas, self.epsilon = betas, epsilon
        self.state: dict[Tensor, dict[str, Tensor]] = {}

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Move the parameters along their gradients, at the learning rate `rate`."""
        for parameter in self.parameters:
            if parameter not in self.state:
                self.state[parameter] = beginning(parameter)
        for factor, parameters in self.groups.items():
            states = [self.state[parameter] for parameter in parameters]
            adam(
                parameters,
                [parameter.grad for parameter in parameters if parameter.grad is not None],
                [state["exp_avg"] for state in states],
                [state["exp_avg_sq"] for state in states],
                [],
                [state["step"] for state in states],
                fused=True,
                amsgrad=False,
                beta1=self.betas[0],
                beta2=self.betas[1],
                lr=rate * factor,
                weight_decay=0.0,
                eps=self.epsilon,
                maximize=False,
            )


def beginning(parameter: Tensor) -> dict[str, Tensor]:
    """Return the state of a parameter before its first step."""
    return {
        "step": torch.zeros((), device=parameter.device),
        "exp_avg": torch.zeros_like(parameter),
        "exp_avg_sq": torch.zeros_like(parameter),
    }
