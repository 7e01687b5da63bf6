# SPDX-License-Identifier: Apache-2.0
"""How `Program.scan` makes advantages and returns of rewards and values, under the names that publications use.

From the last step to the first, with ``td_t = r_t + gamma * V_{t+1} - V_t``:

- ``a_t = rho_t * td_t + gamma * lam * c * a_{t+1}``, return ``V_t + a_t``;
- `rho_t` and `c` are 1 or ratios ``pi_old / pi_mu`` of the action that was taken, learner over sampler, with a cap each.

An estimator is nothing but the content of four registers (docs/numerics.md, section 8). At the end of an episode set the record's flag
`LAST`, and `TERMINATED` if nothing is worth anything behind it. One that a time limit cut has a value behind it: add
``gamma * V(last observation)`` to the reward and set both.
"""

from dataclasses import dataclass
from numbers import Integral, Real

from .errors import SettingsError
from .registers import Registers

ENVIRONMENTS = 63  #: most environments of one scan


def _fraction(name: str, value: float) -> float:
    if not (isinstance(value, Real) and 0 <= value <= 1):
        raise SettingsError(f"{name} is {value!r} and must be from 0 to 1")
    return value


def _cap(name: str, value: float) -> int:
    if not (isinstance(value, Real) and 0 < value < 2):
        raise SettingsError(f"{name} is {value!r} and must be above 0 and below 2")
    return min(max(round(value * 32768), 1), 65535)


@dataclass(frozen=True)
class Advantages:
    """The registers of an estimator, made by the constructor of its name.

    Attributes
    ----------
    gamma, lam : float
        Discount and mixture of long and short returns, 0 to 1. The chip has `gamma` and ``gamma * lam`` at LSB 2**-16.
    delta_weight, trace_weight : bool
        The ratio weights the temporal difference, the trace.
    trace_next : bool
        The trace's ratio is that of the following step.
    td_advantage : bool
        The advantage is ``r_t + gamma * (V_{t+1} + lam * a_{t+1}) - V_t`` in place of ``a_t``.
    rho_cap, c_cap : int
        Largest ratios, LSB 2**-15.
    """

    gamma: float
    lam: float
    delta_weight: bool = False
    trace_weight: bool = False
    trace_next: bool = False
    td_advantage: bool = False
    rho_cap: int = 32768
    c_cap: int = 32768

    def __post_init__(self):
        _fraction("gamma", self.gamma)
        _fraction("lam", self.lam)
        for name, value in (("rho_cap", self.rho_cap), ("c_cap", self.c_cap)):
            if not (isinstance(value, Integral) and 0 < value < 65536):
                raise SettingsError(f"{name} is {value!r} and must be a whole number of 2**-15 from 1 to 65535")

    def registers(self) -> dict[str, dict[str, int]]:
        """Return register name -> field -> content."""
        return {
            "SCAN_MODE": {name: int(getattr(self, name)) for name in ("delta_weight", "trace_weight", "trace_next", "td_advantage")},
            "SCAN_GAMMA": {"value": round(self.gamma * 65536)},
            "SCAN_DECAY": {"value": round(self.gamma * self.lam * 65536)},
            "SCAN_CAPS": {"rho": self.rho_cap, "c": self.c_cap},
        }

    def write(self, registers: Registers) -> None:
        """Put the estimator in force."""
        for name, fields in self.registers().items():
            registers.write(name, **fields)

    @classmethod
    def gae(cls, gamma: float = 0.99, lam: float = 0.95) -> "Advantages":
        """Generalized advantage estimation: ``A_t = td_t + gamma*lam*A_{t+1}`` (Schulman et al. 2016).

        Parameters
        ----------
        gamma, lam : float
            0.99 and 0.95 as PPO takes them.
        """
        return cls(gamma, lam)

    @classmethod
    def td_lambda(cls, gamma: float = 0.99, lam: float = 0.95) -> "Advantages":
        """TD(lambda): the return is ``r_t + gamma*((1 - lam)*V_{t+1} + lam*R_{t+1})``; the same registers as `gae` (Sutton 1988).

        Parameters
        ----------
        gamma, lam : float
            Discount, and 0 for one step, 1 for whole episodes.
        """
        return cls(gamma, lam)

    @classmethod
    def vtrace(cls, gamma: float = 0.99, lam: float = 1.0, rho_cap: float = 1.0, c_cap: float = 1.0) -> "Advantages":
        """V-trace: ``rho = min(ratio, rho_cap)``, ``c = min(ratio, c_cap)`` (IMPALA, Espeholt et al. 2018).

        The return is v. The advantage is ``r + gamma*v' - V`` (with `lam` below 1, ``V' + lam*(v' - V')`` for v') without its weight: that
        is the coefficient of `Correction.vtrace`.

        Parameters
        ----------
        gamma, lam : float
            Discount, and 1 as in IMPALA.
        rho_cap, c_cap : float
            Largest ratios, below 2; 1 as in IMPALA.
        """
        return cls(gamma, lam, True, True, False, True, _cap("rho_cap", rho_cap), _cap("c_cap", c_cap))

    @classmethod
    def retrace(cls, gamma: float = 0.99, lam: float = 1.0) -> "Advantages":
        """Retrace(lambda): the trace is ``lam * min(1, ratio)`` of the following step (Munos et al. 2016).

        It is about action values: a record's value is ``Q(x_t, a_t)``, its reward ``r_t + gamma*(E Q(x_{t+1}, .) - Q(x_{t+1}, a_{t+1}))``
        with the expectation under the learner's policy. The record without a follower has ``E Q`` as its value, and the step before it
        `r_t` as its reward.

        Parameters
        ----------
        gamma, lam : float
            Discount, and 1.
        """
        return cls(gamma, lam, trace_weight=True, trace_next=True)
