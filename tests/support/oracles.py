"""Each model once more, slowly: float64 numpy, one sample at a time, written from the papers' equations.

Only the names and layouts of the weights are shared with the package. Codes before a sequence's first are silence, and
the code at position t is sample t - 1, from which (and all before it) sample t is predicted.
"""

import math
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_toeplitz

Array = NDArray[np.float64]
Weights = dict[str, Array]


def weights_of(model: Any) -> Weights:
    """All parameters and buffers by name; weight norm's length g and direction v become g v / |v|, row by row."""
    raw = {name: value.detach().double().numpy() for name, value in (*model.named_buffers(), *model.named_parameters())}
    for name in [name for name in raw if name.endswith(".original0")]:
        length, direction = raw.pop(name), raw.pop(name.replace("original0", "original1"))
        rows = direction.reshape(len(direction), -1)
        whole = [length.flat[i] * row / np.sqrt(np.sum(row**2)) for i, row in enumerate(rows)]
        raw[name.replace("parametrizations.", "").removesuffix(".original0")] = np.array(whole).reshape(direction.shape)
    return raw


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-x))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.where(x > 0, x, 0.0)


def amplitude(code: int, levels: int) -> float:
    """The centre of bin `code` of [-1, 1] cut into `levels`."""
    return -1 + (code + 0.5) * 2 / levels


def affine(w: Weights, name: str, x: Array) -> Array:
    """W x + b."""
    return w[f"{name}.weight"] @ x + w[f"{name}.bias"]


def lstm(w: Weights, name: str, x: Array, state: Array, more: Array | float = 0.0) -> Array:
    """One step (Hochreiter and Schmidhuber 1997, with forget gates): state (2, H), hidden and cell; `more` at gates."""
    h, c = state
    pre = w[f"{name}.input_weight"] @ x + w[f"{name}.hidden_weight"] @ h + w[f"{name}.input_bias"] + more
    i, f, g, o = np.split(pre, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return np.stack([sigmoid(o) * np.tanh(c), c])


def gru(w: Weights, name: str, x: Array, state: Array, more: Array | float = 0.0) -> Array:
    """One step (arXiv:1406.1078, reset gate after the product): state (1, H); `more` is added at the gates."""
    h = state[0]
    xr, xz, xn = np.split(w[f"{name}.input_weight"] @ x + w[f"{name}.input_bias"] + more, 3)
    hr, hz, hn = np.split(w[f"{name}.hidden_weight"] @ h + w[f"{name}.hidden_bias"], 3)
    r, z = sigmoid(xr + hr), sigmoid(xz + hz)
    n = np.tanh(xn + r * hn)
    return ((1 - z) * n + z * h)[None]


def encoded(config: Any, w: Weights, frames: Array | None, position: int) -> Array | None:
    """The vector of the control frame for a predicted sample, from frames (M, F), or else of an absent one."""
    if config.condition is None:
        return None
    controls = len(config.condition.controls)
    if frames is None:
        frame = np.concatenate([np.zeros(config.condition.features - controls), np.ones(controls)])
    else:
        frame = frames[position // config.condition.hop]
    return affine(w, "encoder.output", relu(affine(w, "encoder.input", frame)))


def entered(w: Weights, name: str, vector: Array | None) -> Array | float:
    """V c."""
    return 0.0 if vector is None else w[f"{name}.weight"] @ vector


def bins(q: int) -> tuple[Array, Array]:
    """The amplitudes of mu-law codes (Q,), and the ends of the codes (Q + 1,) halfway between them."""
    scalars = np.array([amplitude(code, q) for code in range(q)])
    table = np.sign(scalars) * (q ** np.abs(scalars) - 1) / (q - 1)
    table = table.astype(np.float32).astype(np.float64)
    inner = (table[1:] + table[:-1]) / 2
    return table, np.concatenate([[2 * table[0] - inner[0]], inner, [2 * table[-1] - inner[-1]]])


def learned(w: Weights, name: str, q: int, code: int) -> Array:
    """The learned vector of a code, or of a split code: one of each part, and one times the amplitude."""
    if f"{name}.weight" in w:
        return w[f"{name}.weight"][code]
    coarse, fine = divmod(code, math.isqrt(q))
    return w[f"{name}.coarse"][coarse] + w[f"{name}.fine"][fine] + bins(q)[0][code] * w[f"{name}.amplitude"]


def of_codes(config: Any, w: Weights, outputs: Array, codes: list[int]) -> Array:
    """The logits of codes (T,), for a model's outputs (T, S): of split codes those of both parts (T, C + F)."""
    if not config.split:
        return outputs
    size = math.isqrt(config.q_levels)
    logits = [
        np.concatenate([row[:size], affine(w, "fine.output", relu(row[size:] + w["fine.table"][code // size]))])
        for row, code in zip(outputs, codes, strict=True)
    ]
    return np.array(logits)


@dataclass
class Forecast:
    """What linear prediction says of a sample: its amplitude, the scale of the error, and three rows of a table."""

    centre: float
    spread: float
    rows: list[int]


def string(key: int, rate: int, lags: Array) -> Array:
    """The autocorrelation at `lags` of a stiff string that rings 0.1 s: partial n has a power of 1 / n^2."""
    n = np.arange(1, 61)
    stiffness = np.exp(-0.0847 * key - 5.82) + np.exp(0.0926 * key - 13.64)
    frequencies = 440 * 2 ** ((key - 69) / 12) / rate * n * np.sqrt(1 + stiffness * n**2)
    powers = np.where(frequencies <= 0.475, 1 / n**2, 0)
    return np.exp(-lags / (0.1 * rate)) * (np.cos(2 * np.pi * np.outer(lags, frequencies)) @ powers) / powers.sum()


def struck(config: Any, frames: Array, m: int) -> list[tuple[int, float]]:
    """The keys that are struck in control frame m, with their velocities: those whose short trace has risen."""
    strings, condition = config.prediction.strings, config.condition
    first = sum(control.size for control in condition.controls if control.kind != "notes")  # the keyboard comes last
    keys = frames[:, first : first + 4 * (strings.high - strings.low + 1)].reshape(len(frames), -1, 4)
    before = keys[m - 1, :, 2] if m else np.zeros(keys.shape[1])
    risen = (keys[m, :, 1] > 0) & (keys[m, :, 2] > before)
    return [(strings.low + int(i), float(keys[m, i, 1])) for i in np.flatnonzero(risen)]


def forecasts(config: Any, codes: list[int], frames: Array | None = None) -> list[Forecast] | list[None]:
    """The forecast after each of codes: the normal equations of the weighted past, solved as a whole.

    A struck string adds its autocorrelation, 0.01 at full velocity, which fades with 0.15 s. The past and older strings
    count less from then on.
    """
    if (p := config.prediction) is None:
        return [None] * len(codes)
    q = config.q_levels
    table, edges = bins(q)
    silence = table[q // 2]
    past, found, error, off, centre = [silence] * 3000, [], 1e-3, 0.0, 0.0
    lags = np.arange(p.order + 1)
    expected, kept, last = np.zeros(p.order + 1), np.ones(3000 + len(codes)), 0
    for t, code in enumerate([-1, *codes]):
        if code >= 0:
            error += (abs(table[code] - centre) - error) / 30
            off = code - int(np.sum(centre > edges[1:-1]))
            past.append(table[code])
        if t % p.hop == 0:
            age = np.arange(len(past))[::-1] + 1
            weighted = np.array(past) * np.exp(-(age - 1) / (2 * p.window))
            counted = weighted * kept[: len(past)]
            heard = np.array([counted[lag:] @ weighted[: len(past) - lag] for lag in lags])
            if t and p.strings:
                expected *= np.exp(-p.hop / (0.15 * p.strings.rate))
        if frames is not None and p.strings and t and (t - 1) % config.condition.hop == 0:
            keys = struck(config, frames, (t - 1) // config.condition.hop)
            if keys:
                left, last = 0.1 ** min(1, (t - last) / (0.05 * p.strings.rate)), t
                heard *= left
                kept[: 3000 + t // p.hop * p.hop] *= left
                expected *= left
            for key, velocity in keys:
                expected += 0.01 * velocity**2 * p.window * string(key, p.strings.rate, lags)
        equations = heard + 1e-5 * p.window * 0.95**lags + expected
        weights = solve_toeplitz(equations[:-1], equations[1:])
        centre = float(np.clip(weights @ past[: -p.order - 1 : -1], table[0], table[-1]))
        nearest = int(np.sum(centre > edges[1:-1]))
        spread = float(np.sqrt((1.1 * error) ** 2 + (edges[nearest + 1] - edges[nearest]) ** 2 / 12))
        level = int(np.clip(round(64 + 4 * np.log2(spread)), 0, 63))
        rows = [nearest, q + int(np.clip(off + q // 2, 0, q - 1)), 2 * q + level][: 3 if p.density else 2]
        found.append(Forecast(centre, spread, rows))
    return found[1:]


def foreseen(w: Weights, name: str, forecast: Forecast | None) -> Array | float:
    """The sum of the table's rows."""
    return 0.0 if forecast is None else w[f"{name}.weight"][forecast.rows].sum(0)


def started(config: Any, forecast: Forecast | None, logits: Array) -> Array:
    """Logits of codes: Student's t of 10 degrees around the forecast, times the bin's width, plus those of errors."""
    if forecast is None:
        return logits
    q = config.q_levels
    table, edges = bins(q)
    places = np.clip(np.arange(q) - forecast.rows[0] + q // 2, 0, q - 1)
    if not config.prediction.density:
        return logits[places]
    spread = forecast.spread * np.exp(8 * np.tanh(logits[q] / 8))
    density = (1 + ((table - forecast.centre) / spread) ** 2 / 10) ** -5.5 * np.diff(edges)
    return np.log(density) + logits[places]


def naive_rnn(config: Any, w: Weights, codes: list[int], frames: Array | None = None) -> Array:
    """Logits (T, Q) of a NaiveRNN (thesis 3.1)."""
    states = [np.zeros((2, config.units)) for _ in range(config.layers)]
    logits, ahead = [], forecasts(config, codes, frames)
    for t, code in enumerate(codes):
        if config.input == "embedded":
            x = learned(w, "input", config.q_levels, code)
        else:
            x = w["input.weight"][:, 0] * amplitude(code, config.q_levels) + w["input.bias"]
        x = x + entered(w, "condition", encoded(config, w, frames, t)) + foreseen(w, "forecast", ahead[t])
        for i in range(config.layers):
            states[i] = lstm(w, f"layers.{i}", x, states[i])
            x = x + states[i][0]
        logits.append(started(config, ahead[t], affine(w, "output", x)))
    return np.array(logits)


def sample_rnn(config: Any, w: Weights, codes: list[int], control: Array | None = None) -> Array:
    """Logits (T, Q) of a SampleRNN (thesis 3.2, arXiv:1612.07837): every tier at its own rate, from the slowest."""
    frames, q = config.frame_sizes, config.q_levels
    fasts = [*frames[1:], 1]
    cell = lstm if config.cell == "lstm" else gru
    states = {(i, j): w[f"tiers.{i}.layers.{j}.start"].copy() for i in range(len(frames)) for j in range(config.n_rnn)}
    window = config.window if config.window is not None else frames[-1]
    upsampled: list[Array] = [np.empty(0)] * len(frames)  # (R, units) of each tier, while its frame lasts

    def heard(t: int) -> int:
        return codes[t] if t >= 0 else q // 2

    logits, ahead = [], forecasts(config, codes, control)
    for t in range(len(codes)):
        condition = np.zeros(config.units)
        vector = encoded(config, w, control, t)
        for i, (frame, fast) in enumerate(zip(frames, fasts, strict=True)):
            if t % frame == 0:
                numbers = [config.frame_scale * amplitude(heard(t - frame + 1 + k), q) for k in range(frame)]
                x = np.array(numbers) if i == 0 else affine(w, f"tiers.{i}.frame_input", np.array(numbers)) + condition
                x = x + entered(w, f"tiers.{i}.condition", vector) if i else x
                for j in range(config.n_rnn):
                    more = entered(w, "tiers.0.layers.0.condition", vector) if i == j == 0 else 0.0
                    states[i, j] = cell(w, f"tiers.{i}.layers.{j}", x, states[i, j], more)
                    x = states[i, j][0]
                upsampled[i] = affine(w, f"tiers.{i}.upsample", x).reshape(frame // fast, config.units)
            condition = upsampled[i][t % frame // fast]
        recent = [heard(t - window + 1 + k) for k in range(window)]
        if config.input == "embedded":
            x = np.concatenate([learned(w, "embedding", config.q_levels, code) for code in recent])
        else:
            x = np.array([amplitude(code, q) for code in recent])
        x = (
            affine(w, "sample_input", x)
            + condition
            + entered(w, "condition", vector)
            + foreseen(w, "forecast", ahead[t])
        )
        for i in range(2):
            x = relu(affine(w, f"hidden.{i}", x))
        logits.append(started(config, ahead[t], affine(w, "output", x)))
    return np.array(logits)


def wavenet(config: Any, w: Weights, codes: list[int], frames: Array | None = None) -> Array:
    """Logits (T, Q) of a WaveNet (arXiv:1609.03499, or the thesis's plain stack): sums over dilated taps."""
    q, taps = config.q_levels, config.filter_width
    dilations = [taps**i for _ in range(config.blocks) for i in range(config.layers)]
    ahead = forecasts(config, codes, frames)

    def convolve(i: int, t: int) -> Array:
        weight = w[f"layers.{i}.weight"]
        all_layers = entered(w, "condition", encoded(config, w, frames, t) if t >= 0 else None)  # before 0: without
        own = 0.0 if np.ndim(all_layers) == 0 else all_layers.reshape(len(dilations), -1)[i]
        own = own + (foreseen(w, "forecast", ahead[t]) if i == 0 and t >= 0 else 0.0)
        return own + sum(
            weight[:, :, k] @ layer(i - 1, max(-1, t - (taps - 1 - k) * dilations[i]))[0] for k in range(taps)
        )

    @cache
    def layer(i: int, t: int) -> tuple[Array, Array]:
        """What layer i gives at time t to the next layer, and to the skip path; t = -1 is any time before 0."""
        if i < 0:
            code = codes[t] if t >= 0 else q // 2
            if config.form == "gated" and config.input == "embedded":
                return learned(w, "input", config.q_levels, code), np.zeros(1)
            number = np.array([amplitude(code, q)])
            return (affine(w, "input", number) if config.form == "gated" else number), np.zeros(1)
        if config.form == "plain":
            return relu(convolve(i, t)), np.zeros(1)
        width = config.channels
        pre = convolve(i, t) + w[f"layers.{i}.bias"]
        z = np.tanh(pre[:width]) * sigmoid(pre[width:])
        both = w[f"layers.{i}.out_weight"][:, :, 0] @ z + w[f"layers.{i}.out_bias"]
        return layer(i - 1, t)[0] + both[:width], both[width:]

    logits = []
    for t in range(len(codes)):
        if config.form == "plain":
            last = affine(w, "output", layer(len(dilations) - 1, t)[0])
        else:
            skips = sum(layer(i, t)[1] for i in range(len(dilations)))
            last = affine(w, "output.3", relu(affine(w, "output.1", relu(skips))))
        logits.append(started(config, ahead[t], last))
    return np.array(logits)


def linear_rnn(config: Any, w: Weights, codes: list[int], control: Array | None = None) -> Array:
    """Logits (T, Q) of a LinearRNN: h = lambda h + gamma u and y = Re sum kappa h + delta u, gates between them."""
    frames, widths = config.frame_sizes, config.widths
    last = len(frames) - 1
    reaches = (*frames[:-1], config.window)

    def unit(x: Array) -> Array:
        return x / np.sqrt(np.mean(x**2) + 1e-5)

    def recurrence(name: str) -> tuple[Array, Array, Array]:
        nu, theta, kappa = (w[f"{name}.diagonal.{part}"] for part in ("nu", "theta", "kappa"))
        factor = np.exp(-np.exp(nu)) * (np.cos(theta) + 1j * np.sin(theta))
        return factor, (1 - np.abs(factor) ** 2) ** 0.75, kappa[..., 0] + 1j * kappa[..., 1]

    def block(i: int, j: int, x: Array, h: Array, vector: Array | None) -> tuple[Array, Array]:
        name = f"tiers.{i}.blocks.{j}"
        factor, gain, kappa = recurrence(name)
        u = unit(x)
        h = factor * h + gain * u[:, None]
        y = np.sum((kappa * h).real, 1) + w[f"{name}.diagonal.delta"] * u
        a, b = np.split(affine(w, f"{name}.gate", y) + entered(w, f"{name}.condition", vector), 2)
        x = x + a * sigmoid(b)
        if i < last:
            z = affine(w, f"{name}.hidden", unit(x))
            z = 0.5 * z * (1 + np.tanh(np.sqrt(2 / np.pi) * (z + 0.044715 * z**3)))
            x = x + affine(w, f"{name}.output", z)
        return x, h

    def first(i: int, heard: list[int], above: Array | float) -> Array:
        read = [learned(w, "embedding", config.q_levels, code) for code in heard]
        return affine(w, f"tiers.{i}.input", np.concatenate(read)) + above

    def up(i: int, x: Array) -> Array:
        return affine(w, f"tiers.{i}.upsample", unit(x)).reshape(-1, widths[i + 1])

    states = {}
    slots: list[Array] = [np.empty(0)] * last  # (R, D) of each slow tier, while its frame lasts
    above: list[Any] = [0.0]
    for i in range(last + 1):  # endless silence: every frame of the slowest tier is as the one before
        xs = [first(i, [config.q_levels // 2] * reaches[i], more) for more in above]
        for j in range(config.blocks[i]):
            factor, gain, _ = recurrence(f"tiers.{i}.blocks.{j}")
            ago = [factor**k * gain * unit(x)[:, None] for k, x in enumerate(reversed(xs))]
            h = states[i, j] = np.sum(ago, 0) / (1 - factor ** len(xs))
            for k, x in enumerate(xs):
                xs[k], h = block(i, j, x, h, None)
        above = [slot for x in xs for slot in up(i, x)] if i < last else []

    logits, ahead = [], forecasts(config, codes, control)
    past = [config.q_levels // 2] * max(reaches) + codes
    for t in range(len(codes)):
        more: Array | float = 0.0
        vector = encoded(config, w, control, t)
        for i, frame in enumerate(frames):
            if t % frame == 0:
                end = max(reaches) + t + 1
                more = more + foreseen(w, "forecast", ahead[t]) if i == last else more
                x = first(i, past[end - reaches[i] : end], more)
                for j in range(config.blocks[i]):
                    x, states[i, j] = block(i, j, x, states[i, j], vector)
                if i < last:
                    slots[i] = up(i, x)
            if i < last:
                more = slots[i][t % frame // frames[i + 1]]
        logits.append(started(config, ahead[t], affine(w, "output", unit(x))))
    return np.array(logits)


ORACLES = {"linear-rnn": linear_rnn, "naive-rnn": naive_rnn, "sample-rnn": sample_rnn, "wavenet": wavenet}


def nats_of(output: Any, logits: Array, codes: Array) -> Array:
    """The nats (...) of codes (...) under their logits (..., C), where a code has one part or two."""
    first, *second = (part.q_levels for part in output.parts)
    fine, nats = second[0] if second else 1, np.zeros(codes.shape)
    for own, part in zip(np.split(np.float64(logits), [first], -1), (codes // fine, codes % fine), strict=True):
        if own.shape[-1]:
            peak = own.max(-1)
            nats += peak + np.log(np.exp(own - peak[..., None]).sum(-1))
            nats -= np.take_along_axis(own, part[..., None], -1)[..., 0]
    return nats
