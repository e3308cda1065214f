// Linear prediction of the coming sample from all samples heard, without anything learned.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace wavewright {

// What a predictor says of the coming sample.
struct Forecast {
    double centre = 0;  // the amplitude that it predicts
    double spread = 0;  // the scale that it expects of its error, in amplitude
    // Whole numbers that stand for the forecast: the code of the centre, the last error in codes (plus half their
    // number, within their range), and the spread in quarters of octaves.
    int code = 0, error = 0, level = 0;
};

// A predictor of `order` coefficients. They solve the normal equations of the past (autocorrelation method), which is
// weighted by an exponential window with a time constant of `window` samples, and are solved anew every `hop` samples.
// A recursion updates the autocorrelation (Barnwell, IEEE Trans. ASSP 29(5), 1981). The synthesis filter of such a
// predictor is stable. The window of the running error is 30 samples.
//
// A predictor with a keyboard expects a struck key to sound at its pitch. At the strike it forgets most of the past, adds
// what a string of that pitch and loudness would have left there, and forgets that within a second.
//
// All that a stream remembers is a span of size() doubles. The same codes give the same bits on any machine with IEEE
// arithmetic.
class Predictor {
public:
    // Keys from `low` on at so many samples a second, whose strikes are told in frames of so many samples.
    struct Keyboard {
        int low = 0, keys = 0, rate = 0, frame = 0;
    };

    static constexpr int kLevels = 64;  // of Forecast::level
    static constexpr int kMostOrder = 4096, kMostHop = 4096;

    // amplitudes: of all codes, in ascending order. A keyboard without keys expects nothing. Throws Error for a number
    // out of range.
    Predictor(int order, double window, int hop, std::vector<double> amplitudes, const Keyboard& keyboard);

    std::size_t size() const { return size_; }
    const std::vector<double>& log_widths() const { return log_widths_; }  // of all codes, in amplitude
    // Puts a stream into the state that endless silence leaves, at the beginning of a hop.
    void reset(std::span<double> state) const;
    // Hears a stream's next code and says what comes next.
    Forecast hear(std::span<double> state, int code) const;
    const Keyboard& keyboard() const { return keyboard_; }
    // Expects the keys that are struck in a control frame, given the keyboard's features of it (conditioning/roll.py),
    // before the frame's first sample. Returns whether there are any. Then the forecast is another.
    bool strike(std::span<double> state, const float* features) const;
    // Says again what `hear` or `strike` left to say.
    Forecast forecast(std::span<const double> state) const;
    // Throws Error where a saved state is not one that `hear` can go on from.
    void check(std::span<const double> state) const;

    // The logarithm of a density, but for a constant, over all codes: Student's t around the centre, times the width of
    // each code. wider: the logarithm of a factor of the spread, which is softly limited.
    void log_density(const Forecast& forecast, float wider, float* log_density) const;

private:
    struct View;
    void forget(const View& view) const;
    void expect(const View& view, int key, double velocity) const;
    void solve(const View& view) const;
    void predict(const View& view) const;
    int nearest(double amplitude) const;

    int order_, hop_;
    double window_;
    std::vector<double> amplitudes_, middles_, widths_, log_widths_, decay_, lag_weights_;
    std::vector<float> log_widths32_;
    Keyboard keyboard_;
    std::vector<double> strings_;  // (keys, order + 1), the autocorrelation that a strike lets expect
    double fading_ = 0;            // of an expectation within a hop
    std::size_t size_;
};

}  // namespace wavewright
