#include "wavewright/predictor.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "wavewright/config.hpp"

namespace wavewright {
namespace {

constexpr double kErrorWindow = 30;     // samples of the running error
constexpr double kStartError = 1e-3;    // of it after silence
constexpr double kErrorToSpread = 1.1;  // from the mean error to the scale of Student's t
// Noise of this power and this correlation from sample to sample is added to the past. So a predictor of silence
// expects a spectrum that falls like music's, and the attack of a note is no white noise.
constexpr double kNoise = 1e-5, kColour = 0.95;
constexpr float kFreedom = 10;          // degrees of freedom of Student's t
constexpr double kWidest = 8;  // greatest logarithm of the factor by which a model changes the spread
constexpr int kLanes = 8;
// A struck string's power at full velocity, the time constants in seconds of its ringing and of the expectation, and the
// number of its partials, whose powers fall with the square of their numbers. The first two have the fewest bits on a
// piano. The expectation lasts longer than bits ask for, since notes then stay in tune while they are made
// (docs/log/2026-11-26-struck-strings.md).
constexpr double kStruck = 1e-2, kRinging = 0.1, kExpecting = 0.15;
constexpr int kPartials = 60;
// A strike excites all that rings in the filter, and what earlier strikes left there would sound as if struck again. So it
// leaves this part of the past and of what was expected. Within the seconds of a chord it leaves more
// (docs/log/2026-11-27-strikes.md).
constexpr double kLeft = 0.1, kChord = 0.05;
constexpr double kTau = 6.283185307179586;

// Sums in a fixed order, by which a compiler may use vectors of any width.
double dot(const double* a, const double* b, int count) {
    double lanes[kLanes] = {};
    int i = 0;
    for (; i + kLanes <= count; i += kLanes)
        for (int lane = 0; lane < kLanes; lane++) lanes[lane] += a[i + lane] * b[i + lane];
    double sum = 0;
    for (; i < count; i++) sum += a[i] * b[i];
    for (double lane : lanes) sum += lane;
    return sum;
}

// Solves the normal equations of `order` coefficients for an autocorrelation (order + 1). The coefficient of the oldest
// sample comes first.
void levinson(const double* autocorrelation, int order, double* coefficients) {
    double before[Predictor::kMostOrder];
    double power = autocorrelation[0];
    for (int i = 0; i < order; i++) {
        double* const solved = coefficients + order - i;  // of the last i samples
        const double reflection = (autocorrelation[i + 1] - dot(solved, autocorrelation + 1, i)) / power;
        std::reverse_copy(solved, solved + i, before);
        for (int j = 0; j < i; j++) solved[j] -= reflection * before[j];
        solved[-1] = reflection;
        power *= 1 - reflection * reflection;
    }
}

// The autocorrelation (order + 1) of a piano string of power 1. Its stiffness stretches the partials (Rigaud, David and
// Daudet, JASA 133(5), 2013, eq. 1 and 5, with the constants of their table for an average piano).
void string_of(int key, int rate, int order, double* autocorrelation) {
    const double pitch = 440 * std::exp2((key - 69) / 12.0) / rate;
    const double stiffness = std::exp(-0.0847 * key - 5.82) + std::exp(0.0926 * key - 13.64);
    double power = 0;
    for (int n = 1; n <= kPartials; n++) {
        const double frequency = n * pitch * std::sqrt(1 + stiffness * n * n), share = 1.0 / (n * n);
        if (frequency > 0.475) break;
        power += share;
        for (int lag = 0; lag <= order; lag++) autocorrelation[lag] += share * std::cos(kTau * frequency * lag);
    }
    if (power == 0) return;  // of a key above the sample rate's reach, nothing is expected
    for (int lag = 0; lag <= order; lag++) autocorrelation[lag] *= std::exp(-lag / (kRinging * rate)) / power;
}

}  // namespace

// The parts of a stream's state.
struct Predictor::View {
    double &phase, &error, &centre, &last_error;
    double* past;             // (order + hop): the samples of this hop end at order + phase
    double* autocorrelation;  // (order + 1), weighted up to the beginning of this hop
    double* coefficients;     // (order), that of the oldest sample first
    // A predictor without a keyboard has none of these.
    double* expected;  // (order + 1), added to the autocorrelation
    double* traces;    // (keys), the short trace of each key's last strike in the frame before
    double* since;     // samples since a key was last struck

    View(std::span<double> state, const Predictor& predictor)
        : phase(state[0]),
          error(state[1]),
          centre(state[2]),
          last_error(state[3]),
          past(state.data() + 4),
          autocorrelation(past + predictor.order_ + predictor.hop_),
          coefficients(autocorrelation + predictor.order_ + 1),
          expected(coefficients + predictor.order_),
          traces(expected + predictor.order_ + 1),
          since(traces + predictor.keyboard_.keys) {}
};

Predictor::Predictor(int order, double window, int hop, std::vector<double> amplitudes, const Keyboard& keyboard)
    : order_(order), hop_(hop), window_(window), amplitudes_(std::move(amplitudes)), keyboard_(keyboard) {
    if (order < 1 || order > kMostOrder)
        throw Error("prediction.order: " + std::to_string(order) + "; give 1 to " + std::to_string(kMostOrder));
    if (hop < 1 || hop > kMostHop)
        throw Error("prediction.hop: " + std::to_string(hop) + "; give 1 to " + std::to_string(kMostHop));
    if (!(window >= 1 && window <= 1e9))
        throw Error("prediction.window: " + std::to_string(window) + "; give 1 to 1e9");
    if (amplitudes_.size() < 2 || !std::is_sorted(amplitudes_.begin(), amplitudes_.end()))
        throw Error("prediction.amplitudes: give two or more, in ascending order");
    const auto [low, keys, rate, frame] = keyboard;
    if (low < 0 || keys < 0 || low + keys > 128 || (keys && (rate < 1 || frame < 1)))
        throw Error("prediction.keyboard: keys " + std::to_string(low) + " to " + std::to_string(low + keys - 1) + " at " +
                    std::to_string(rate) + " Hz in frames of " + std::to_string(frame) + "; give MIDI keys and two sizes");
    const int levels = static_cast<int>(amplitudes_.size());
    for (int i = 0; i + 1 < levels; i++) middles_.push_back((amplitudes_[i] + amplitudes_[i + 1]) / 2);
    for (int i = 0; i < levels; i++) {
        const double below = i > 0 ? middles_[i - 1] : 2 * amplitudes_[0] - middles_[0];
        const double above = i + 1 < levels ? middles_[i] : 2 * amplitudes_[i] - middles_[i - 1];
        widths_.push_back(above - below);
        log_widths_.push_back(std::log(above - below));
        log_widths32_.push_back(static_cast<float>(log_widths_.back()));
    }
    for (int i = 0; i < hop; i++) decay_.push_back(std::exp(-(hop - 1.0 - i) / window));
    for (int lag = 0; lag <= order; lag++) lag_weights_.push_back(std::exp(-lag / (2 * window)));
    size_ = 4 + (order + hop) + (order + 1) + order;
    if (keys) {
        size_ += order + 1 + keys + 1;
        strings_.resize(std::size_t(keys) * (order + 1));
        for (int key = 0; key < keys; key++) string_of(low + key, rate, order, &strings_[std::size_t(key) * (order + 1)]);
        fading_ = std::exp(-hop / (kExpecting * rate));
    }
}

void Predictor::reset(std::span<double> state) const {
    const View view(state, *this);
    const int silence = static_cast<int>(amplitudes_.size()) / 2;
    const double amplitude = amplitudes_[silence], sum = amplitude * amplitude / -std::expm1(-1 / window_);
    std::fill(state.begin(), state.end(), 0.0);
    view.error = kStartError;
    std::fill_n(view.past, order_, amplitude);
    std::fill_n(view.autocorrelation, order_ + 1, sum);
    solve(view);
    predict(view);
}

Forecast Predictor::hear(std::span<double> state, int code) const {
    const View view(state, *this);
    const double amplitude = amplitudes_[code], error = std::abs(amplitude - view.centre);
    view.last_error = code - nearest(view.centre);
    view.error += (error - view.error) / kErrorWindow;
    int phase = static_cast<int>(view.phase);
    view.past[order_ + phase++] = amplitude;
    view.phase = phase;
    if (keyboard_.keys) ++*view.since;
    if (phase == hop_) solve(view);
    predict(view);
    return forecast(state);
}

bool Predictor::strike(std::span<double> state, const float* features) const {
    const View view(state, *this);
    bool any = false;
    for (int key = 0; key < keyboard_.keys; key++) {
        const float velocity = features[4 * key + 1], trace = features[4 * key + 2];
        if (velocity > 0 && trace > view.traces[key]) {  // a trace only falls until the next strike
            if (!any) forget(view);
            expect(view, key, velocity);
            any = true;
        }
        view.traces[key] = trace;
    }
    if (any) {
        solve(view);
        predict(view);
    }
    return any;
}

void Predictor::forget(const View& view) const {
    const double left = std::pow(kLeft, std::min(1.0, *view.since / (kChord * keyboard_.rate)));
    for (int lag = 0; lag <= order_; lag++) {
        view.autocorrelation[lag] *= left;
        view.expected[lag] *= left;
    }
    *view.since = 0;
}

void Predictor::expect(const View& view, int key, double velocity) const {
    const double power = kStruck * velocity * velocity * window_;
    const double* const string = &strings_[std::size_t(key) * (order_ + 1)];
    for (int lag = 0; lag <= order_; lag++) view.expected[lag] += power * string[lag];
}

// Takes a whole hop into the autocorrelation, if there is one, and solves the normal equations by Levinson's recursion.
void Predictor::solve(const View& view) const {
    double scratch[std::max(kMostOrder, kMostHop) + 1];
    if (view.phase == hop_) {
        const double decay = std::exp(-hop_ / window_);
        for (int i = 0; i < hop_; i++) scratch[i] = decay_[i] * view.past[order_ + i];
        for (int lag = 0; lag <= order_; lag++)
            view.autocorrelation[lag] =
                decay * view.autocorrelation[lag] + dot(scratch, view.past + order_ - lag, hop_);
        std::copy_n(view.past + hop_, order_, view.past);
        view.phase = 0;
        if (keyboard_.keys)
            for (int lag = 0; lag <= order_; lag++) view.expected[lag] *= fading_;
    }
    for (int lag = 0; lag <= order_; lag++) scratch[lag] = lag_weights_[lag] * view.autocorrelation[lag];
    double noise = kNoise * window_;
    for (int lag = 0; lag <= order_; lag++, noise *= kColour) scratch[lag] += noise;
    if (keyboard_.keys)
        for (int lag = 0; lag <= order_; lag++) scratch[lag] += view.expected[lag];
    levinson(scratch, order_, view.coefficients);
}

void Predictor::predict(const View& view) const {
    const double centre = dot(view.coefficients, view.past + static_cast<int>(view.phase), order_);
    view.centre = std::clamp(centre, amplitudes_.front(), amplitudes_.back());
}

int Predictor::nearest(double amplitude) const {
    return static_cast<int>(std::upper_bound(middles_.begin(), middles_.end(), amplitude) - middles_.begin());
}

Forecast Predictor::forecast(std::span<const double> state) const {
    const View view({const_cast<double*>(state.data()), state.size()}, *this);
    const int levels = static_cast<int>(amplitudes_.size()), code = nearest(view.centre);
    // The error of rounding to a code is added to that of predicting.
    const double scale = kErrorToSpread * view.error, width = widths_[code];
    const double spread = std::sqrt(scale * scale + width * width / 12);
    const int error = std::clamp(static_cast<int>(view.last_error) + levels / 2, 0, levels - 1);
    const int level = std::clamp(static_cast<int>(std::lround(kLevels + 4 * std::log2(spread))), 0, kLevels - 1);
    return {view.centre, spread, code, error, level};
}

void Predictor::check(std::span<const double> state) const {
    const View view({const_cast<double*>(state.data()), state.size()}, *this);
    const auto finite = [](double value) { return std::isfinite(value); };
    if (!(view.phase >= 0 && view.phase < hop_ && view.phase == std::floor(view.phase)) ||
        (keyboard_.keys && *view.since < 0) || !std::all_of(state.begin(), state.end(), finite))
        throw Error("state: the prediction's is out of range; it is damaged");
}

void Predictor::log_density(const Forecast& forecast, float wider, float* log_density) const {
    const double spread = forecast.spread * std::exp(kWidest * std::tanh(wider / kWidest));
    for (std::size_t code = 0; code < amplitudes_.size(); code++) {
        const float z = static_cast<float>((amplitudes_[code] - forecast.centre) / spread);
        log_density[code] = log_widths32_[code] - (kFreedom + 1) / 2 * std::log(1 + z * z / kFreedom);
    }
}

}  // namespace wavewright
