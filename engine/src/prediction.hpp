// The linear prediction of a network's streams, from which its logits start.
#pragma once

#include "build_context.hpp"
#include "codes.hpp"
#include "wavewright/predictor.hpp"

namespace wavewright {

class Prediction {
public:
    // Reads the fields prediction_order, _window, _hop, _density and _amplitudes from the configuration. Strings are
    // the fields strings_low, _keys, _rate and _offset, their place among the so many features of a control frame.
    Prediction(const Config& config, const Runtime& runtime, int features);

    // Puts all streams into the state after endless silence and one more silent sample.
    void reset();
    // Goes on by the next code of a stream. The forecast after it is that of a vector (samples, streams) of a stretch.
    void hear(int vector, int code);
    // Expects the keys that are struck in the control frame that begins, given its features.
    void begin_frame(int stream, const float* features) {
        if (predictor_.strike(of(stream), features + strings_offset_)) set(stream, predictor_.forecast(of(stream)));
    }
    // How many numbers a network gives, which are those that logits() takes.
    int outputs() const { return levels_ + (density_ ? 1 : 0); }
    // The numbers of each vector's forecast: its code, the last error and, with a density, the level of its spread.
    CodesView numbers() const { return {numbers_.data() + places_ - 1, streams_, streams_ * places_, places_, 1}; }
    // A forecast enters a model by the table forecast.weight, which has rows for all these numbers. Returns the image of
    // the numbers under that table and a matrix (rows, outputs) after it.
    CodeImage image(const BuildContext& context, const Matrix& weight, int groups = 1) const;
    // Turns a network's outputs, logits of errors, into logits of codes (models/forecast.py has the formula). The result
    // lasts until the thread's next call.
    const float* logits(int thread, int vector, const float* outputs);

    std::span<std::byte> state() const { return states_.bytes(); }
    // Throws Error where a saved state is not one to go on from.
    void check(std::span<const std::byte> state) const;
    // Takes note that the state was restored.
    void restored();

private:
    std::span<double> of(int stream) const { return {states_.data() + stream * predictor_.size(), predictor_.size()}; }
    void set(int vector, const Forecast& forecast);

    Predictor predictor_;
    int levels_, streams_;
    bool density_;  // whether the logits start from the predictor's density
    int places_;    // numbers of a forecast
    int strings_offset_;
    Buffer<double> states_;
    std::vector<Forecast> forecasts_;
    Buffer<int> numbers_;  // (vectors, places)
    Vectors logits_;       // of each thread
};

}  // namespace wavewright
