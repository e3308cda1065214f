#include "prediction.hpp"

#include <algorithm>
#include <cstring>

namespace wavewright {

Prediction::Prediction(const Config& config, int streams)
    : predictor_(config.size("prediction_order"), config.number("prediction_window"), config.size("prediction_hop"),
                 config.numbers("prediction_amplitudes")),
      levels_(config.size("q_levels")),
      streams_(streams),
      states_(streams * predictor_.size()),
      forecasts_(streams),
      numbers_(streams, 3),
      logits_(streams, levels_) {
    if (config.numbers("prediction_amplitudes").size() != static_cast<std::size_t>(levels_))
        throw Error("prediction_amplitudes: give one for each of " + std::to_string(levels_) + " codes");
}

void Prediction::reset() {
    for (int s = 0; s < streams_; s++) {
        predictor_.reset(of(s));
        hear(s, levels_ / 2);
    }
}

void Prediction::hear(int stream, int code) { set(stream, predictor_.hear(of(stream), code)); }

void Prediction::set(int stream, const Forecast& forecast) {
    forecasts_[stream] = forecast;
    for (const int number : {forecast.code, forecast.error, forecast.level}) numbers_.push(stream, number);
}

CodeImage Prediction::image(const BuildContext& context, const std::string& table, const Matrix& weight,
                            int groups) const {
    const Matrix rows = context.weight(table, 2 * levels_ + Predictor::kLevels, weight.columns);
    return CodeImage(context, weight,
                     {rows_of(rows, 0, levels_), rows_of(rows, levels_, levels_),
                      rows_of(rows, 2 * levels_, Predictor::kLevels)},
                     groups);
}

const float* Prediction::logits(int stream, const float* outputs) {
    float* const logits = logits_[stream];
    const Forecast& forecast = forecasts_[stream];
    predictor_.log_density(forecast, outputs[levels_], logits);
    for (int code = 0; code < levels_; code++)
        logits[code] += outputs[std::clamp(code - forecast.code + levels_ / 2, 0, levels_ - 1)];
    return logits;
}

void Prediction::check(std::span<const std::byte> state) const {
    std::vector<double> values(predictor_.size());
    for (int s = 0; s < streams_; s++) {
        std::memcpy(values.data(), state.data() + s * values.size() * sizeof(double), values.size() * sizeof(double));
        predictor_.check(values);
    }
}

void Prediction::restored() {
    for (int s = 0; s < streams_; s++) set(s, predictor_.forecast(of(s)));
}

}  // namespace wavewright
