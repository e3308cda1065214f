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

Prediction::Prediction(const Config& config, int streams, int features)
    : predictor_(config.size("prediction_order"), config.number("prediction_window"), config.size("prediction_hop"),
                 config.numbers("prediction_amplitudes"), strings_of(config)),
      levels_(config.size("q_levels")),
      streams_(streams),
      density_(config.flag("prediction_density")),
      strings_offset_(config.fields.contains("strings_offset") ? config.index("strings_offset") : 0),
      states_(streams * predictor_.size()),
      forecasts_(streams),
      numbers_(streams, density_ ? 3 : 2),
      logits_(streams, levels_) {
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

void Prediction::hear(int stream, int code) { set(stream, predictor_.hear(of(stream), code)); }

void Prediction::set(int stream, const Forecast& forecast) {
    forecasts_[stream] = forecast;
    numbers_.push(stream, forecast.code);
    numbers_.push(stream, forecast.error);
    if (density_) numbers_.push(stream, forecast.level);
}

CodeImage Prediction::image(const BuildContext& context, const Matrix& weight, int groups) const {
    const int spreads = density_ ? Predictor::kLevels : 0;
    const Matrix rows = context.weight("forecast.weight", 2 * levels_ + spreads, weight.columns);
    std::vector<Matrix> tables{rows_of(rows, 0, levels_), rows_of(rows, levels_, levels_)};
    if (density_) tables.push_back(rows_of(rows, 2 * levels_, spreads));
    return CodeImage(context, weight, tables, groups);
}

const float* Prediction::logits(int stream, const float* outputs) {
    float* const logits = logits_[stream];
    const Forecast& forecast = forecasts_[stream];
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
