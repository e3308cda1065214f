#include "prediction.hpp"

#include <algorithm>
#include <cstring>

namespace wavewright {
namespace {

Predictor::Keyboard strings_of(const Config& config) {
    if (!config.fields.contains("strings_keys")) return {};
    return {config.index("strings_low"), config.size("strings_keys"), config.size("strings_rate"),
            config.size("condition_hop")};
}

}  // namespace

Prediction::Prediction(const Config& config, const Runtime& runtime, int features)
    : predictor_(config.size("prediction_order"), config.number("prediction_window"), config.size("prediction_hop"),
                 config.numbers("prediction_amplitudes"), strings_of(config)),
      levels_(config.size("q_levels")),
      streams_(runtime.streams),
      density_(config.flag("prediction_density")),
      places_(density_ ? 3 : 2),
      strings_offset_(config.fields.contains("strings_offset") ? config.index("strings_offset") : 0),
      states_(streams_ * predictor_.size()),
      forecasts_(runtime.vectors()),
      numbers_(std::size_t(runtime.vectors()) * places_),
      logits_(runtime.team.size(), levels_) {
    if (config.numbers("prediction_amplitudes").size() != static_cast<std::size_t>(levels_))
        throw Error("prediction_amplitudes: give one for each of " + std::to_string(levels_) + " codes");
    if (const int keys = predictor_.keyboard().keys; keys && strings_offset_ + 4 * keys > features)
        throw Error("strings_offset, strings_keys: beyond the control frame's " + std::to_string(features) + " features");
}

void Prediction::reset() {
    for (int s = 0; s < streams_; s++) {
        predictor_.reset(of(s));
        hear(s, levels_ / 2);
    }
}

void Prediction::hear(int vector, int code) { set(vector, predictor_.hear(of(vector % streams_), code)); }

void Prediction::set(int vector, const Forecast& forecast) {
    const int numbers[] = {forecast.code, forecast.error, forecast.level};
    forecasts_[vector] = forecast;
    std::copy_n(numbers, places_, numbers_.data() + std::ptrdiff_t(vector) * places_);
}

CodeImage Prediction::image(const BuildContext& context, const Matrix& weight, int groups) const {
    const int spreads = density_ ? Predictor::kLevels : 0;
    const Matrix rows = context.weight("forecast.weight", 2 * levels_ + spreads, weight.columns);
    std::vector<Matrix> tables{rows_of(rows, 0, levels_), rows_of(rows, levels_, levels_)};
    if (density_) tables.push_back(rows_of(rows, 2 * levels_, spreads));
    return CodeImage(context, weight, tables, groups);
}

const float* Prediction::logits(int thread, int vector, const float* outputs) {
    float* const logits = logits_[thread];
    const Forecast& forecast = forecasts_[vector];
    if (density_)
        predictor_.log_density(forecast, outputs[levels_], logits);
    else
        std::fill_n(logits, levels_, 0.0f);
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
