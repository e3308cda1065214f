// One small model of every kind, with random weights.
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "wavewright/engine.hpp"
#include "wavewright/predictor.hpp"

namespace wavewright {

constexpr int kLevels = 40;

struct Model {
    std::string name;
    Config config;
    Weights weights{};
    std::vector<std::shared_ptr<std::vector<float>>> storage;  // what the weights point to
    std::mt19937 random{7};

    Model(std::string name, Config config) : name(std::move(name)), config(std::move(config)) {}

    void add(const std::string& weight, std::vector<std::size_t> shape) {
        std::size_t size = 1;
        for (std::size_t part : shape) size *= part;
        const double inputs = shape.size() > 1 ? static_cast<double>(size) / static_cast<double>(shape[0]) : 4;
        std::normal_distribution<float> draw(0, static_cast<float>(1.5 / std::sqrt(inputs)));
        std::vector<float>& values = *storage.emplace_back(std::make_shared<std::vector<float>>(size));
        for (float& value : values) value = draw(random);
        weights[weight] = {values.data(), shape};
    }
    void add_layer(const std::string& layer, std::size_t inputs, std::size_t units, bool gru) {
        const std::size_t rows = (gru ? 3 : 4) * units;
        add(layer + ".input_weight", {rows, inputs});
        add(layer + ".hidden_weight", {rows, units});
        add(layer + ".input_bias", {rows});
        if (gru) add(layer + ".hidden_bias", {rows});
    }
    void add_linear(const std::string& layer, std::size_t inputs, std::size_t outputs) {
        add(layer + ".weight", {outputs, inputs});
        add(layer + ".bias", {outputs});
    }
};

inline Model naive(bool embedded) {
    Model model{embedded ? "naive embedded" : "naive scalar",
                {"naive-rnn",
                 {{"q_levels", kLevels}, {"layers", 2}, {"units", 40}, {"input", embedded ? "embedded" : "scalar"}}}};
    if (embedded)
        model.add("input.weight", {kLevels, 40});
    else
        model.add_linear("input", 1, 40);
    for (int i = 0; i < 2; i++) model.add_layer("layers." + std::to_string(i), 40, 40, false);
    model.add_linear("output", 40, kLevels);
    return model;
}

inline Model tiers(std::vector<int> frames, int window, int n_rnn, bool gru, bool embedded) {
    const std::size_t units = 72, embedding = 5;
    Model model{"tiers",
                {"sample-rnn",
                 {{"q_levels", kLevels},
                  {"frame_sizes", frames},
                  {"window", window},
                  {"units", int(units)},
                  {"n_rnn", n_rnn},
                  {"cell", gru ? "gru" : "lstm"},
                  {"input", embedded ? "embedded" : "scalar"},
                  {"embedding", int(embedding)},
                  {"learned_state", true},
                  {"frame_scale", 2.0}}}};
    if (window == frames.back()) model.config.fields.erase("window");
    for (std::size_t i = 0; i < frames.size(); i++) {
        const std::string tier = "tiers." + std::to_string(i);
        const std::size_t frame = frames[i], ratio = i + 1 < frames.size() ? frame / frames[i + 1] : frame;
        model.name.append(" ").append(std::to_string(frame));
        if (i > 0) model.add_linear(tier + ".frame_input", frame, units);
        for (int j = 0; j < n_rnn; j++) {
            model.add_layer(tier + ".layers." + std::to_string(j), i == 0 && j == 0 ? frame : units, units, gru);
            model.add(tier + ".layers." + std::to_string(j) + ".start", {std::size_t(gru ? 1 : 2), units});
        }
        model.add_linear(tier + ".upsample", units, ratio * units);
    }
    if (embedded) model.add("embedding.weight", {kLevels, embedding});
    model.add_linear("sample_input", window * (embedded ? embedding : 1), units);
    for (int i = 0; i < 2; i++) model.add_linear("hidden." + std::to_string(i), units, units);
    model.add_linear("output", units, kLevels);
    return model;
}

inline Model wavenet(bool gated, bool embedded, int width) {
    const std::size_t channels = 70, skip = gated ? 30 : channels, taps = width;
    Model model{gated ? "gated" : "plain",
                {"wavenet",
                 {{"q_levels", kLevels},
                  {"blocks", 2},
                  {"layers", 3},
                  {"channels", int(channels)},
                  {"filter_width", width},
                  {"form", gated ? "gated" : "plain"},
                  {"input", embedded ? "embedded" : "scalar"}}}};
    if (gated) model.config.fields["skip_channels"] = int(skip);
    if (gated && embedded) model.add("input.weight", {kLevels, channels});
    if (gated && !embedded) model.add_linear("input", 1, channels);
    for (int i = 0; i < 6; i++) {
        const std::string layer = "layers." + std::to_string(i);
        model.add(layer + ".weight", {(gated ? 2 : 1) * channels, !gated && i == 0 ? 1 : channels, taps});
        if (!gated) continue;
        model.add(layer + ".bias", {2 * channels});
        model.add(layer + ".out_weight", {channels + skip, channels, 1});
        model.add(layer + ".out_bias", {channels + skip});
    }
    if (gated) {
        model.add_linear("output.1", skip, skip);
        model.add_linear("output.3", skip, kLevels);
    } else {
        model.add_linear("output", channels, kLevels);
    }
    return model;
}

inline Model linear(std::vector<int> frames, std::vector<int> widths, std::vector<int> blocks, int window) {
    const std::size_t embedding = 5, modes = 3, tiers = frames.size();
    Model model{"linear",
                {"linear-rnn",
                 {{"q_levels", kLevels},
                  {"frame_sizes", frames},
                  {"widths", widths},
                  {"blocks", blocks},
                  {"modes", int(modes)},
                  {"window", window},
                  {"embedding", int(embedding)}}}};
    model.add("embedding.weight", {kLevels, embedding});
    for (std::size_t i = 0; i < tiers; i++) {
        const std::string tier = "tiers." + std::to_string(i);
        const bool slow = i + 1 < tiers;
        const std::size_t width = widths[i];
        model.name.append(" ").append(std::to_string(frames[i]));
        model.add_linear(tier + ".input", (slow ? frames[i] : window) * embedding, width);
        for (int j = 0; j < blocks[i]; j++) {
            const std::string block = tier + ".blocks." + std::to_string(j);
            for (const char* part : {".diagonal.nu", ".diagonal.theta"}) model.add(block + part, {width, modes});
            model.add(block + ".diagonal.kappa", {width, modes, 2});
            model.add(block + ".diagonal.delta", {width});
            model.add_linear(block + ".gate", width, 2 * width);
            if (slow) model.add_linear(block + ".hidden", width, 2 * width);
            if (slow) model.add_linear(block + ".output", 2 * width, width);
        }
        if (slow) model.add_linear(tier + ".upsample", width, frames[i] / frames[i + 1] * widths[i + 1]);
    }
    model.add_linear("output", widths.back(), kLevels);
    return model;
}

// The model with two controls, a number and a keyboard of three keys. They enter by matrices of these names and rows.
inline Model conditioned(Model model, const std::vector<std::pair<std::string, std::size_t>>& entries) {
    constexpr std::size_t dense = 3, keys = 3, width = 24;  // dense: the number, and two flags
    model.name += ", conditioned";
    const std::pair<const char*, int> fields[] = {
        {"condition_hop", 5},    {"condition_width", width}, {"condition_dense", dense}, {"condition_controls", 2},
        {"keyboard_low", 60},    {"keyboard_keys", keys},    {"keyboard_offset", 1},     {"keyboard_flag", 2},
        {"keyboard_rate", 1000}, {"keyboard_events", 32},
    };
    for (const auto& [name, value] : fields) model.config.fields[name] = value;
    model.add_linear("encoder.input", dense + 4 * keys + 2, width);
    model.add_linear("encoder.output", width, width);
    for (const auto& [name, rows] : entries) model.add(name + ".weight", {rows, width});
    return model;
}

// The model with linear prediction, whose forecast enters `rows` values. The output layer has so many inputs.
inline Model predicted(Model model, const std::string& output, std::size_t inputs, std::size_t rows,
                       bool density = true) {
    std::vector<double> amplitudes;
    for (int code = 0; code < kLevels; code++) amplitudes.push_back((2.0 * code + 1) / kLevels - 1);
    model.name += ", predicted";
    model.config.fields["prediction_order"] = 6;
    model.config.fields["prediction_window"] = 20.0;
    model.config.fields["prediction_hop"] = 5;
    model.config.fields["prediction_density"] = density;
    model.config.fields["prediction_amplitudes"] = amplitudes;
    const std::size_t numbers = density ? 2 * kLevels + Predictor::kLevels : 2 * kLevels;
    model.add("forecast.weight", {numbers, rows});
    if (!density) return model;
    model.add_linear(output, inputs, kLevels + 1);
    model.storage.back()->back() = 2;  // The bias of the last output widens the density, so that codes change.
    return model;
}

// The model with codes in two parts, which have kLevels logits together. `embedding` is the name of its codes' vectors
// of so many numbers, and empty for scalar codes. The output layer has so many inputs.
inline Model split(Model model, const std::string& embedding, std::size_t width, const std::string& output,
                   std::size_t inputs) {
    constexpr std::size_t parts = kLevels / 2, hidden = 64;
    model.name += ", split";
    model.config.fields["split"] = true;
    model.config.fields["q_levels"] = int(parts * parts);
    if (!embedding.empty()) {
        for (const char* part : {".coarse", ".fine"}) model.add(embedding + part, {parts, width});
        model.add(embedding + ".amplitude", {width});
    }
    model.add_linear(output, inputs, parts + hidden);
    model.add("fine.table", {parts, hidden});
    model.add_linear("fine.output", hidden, parts);
    return model;
}

inline const Model every_kind[] = {
    naive(false),
    naive(true),
    tiers({8, 2}, 2, 1, false, false),
    tiers({6, 3}, 5, 2, true, true),
    tiers({4}, 4, 1, true, false),
    wavenet(false, false, 2),
    wavenet(true, true, 2),
    wavenet(true, false, 3),
    conditioned(naive(true), {{"condition", 40}}),
    conditioned(tiers({6, 3}, 5, 2, true, true),
                {{"tiers.0.layers.0.condition", 3 * 72}, {"tiers.1.condition", 72}, {"condition", 72}}),
    linear({1}, {40}, {2}, 3),
    linear({6, 3, 1}, {72, 100, 70}, {1, 2, 1}, 2),
    conditioned(linear({4, 1}, {40, 72}, {1, 1}, 5),
                {{"tiers.0.blocks.0.condition", 80}, {"tiers.1.blocks.0.condition", 144}}),
    conditioned(wavenet(true, true, 2), {{"condition", 6 * 140}}),
    predicted(naive(true), "output", 40, 40),
    predicted(tiers({6, 3}, 5, 2, true, true), "output", 72, 72),
    predicted(wavenet(false, false, 2), "output", 70, 70, false),
    predicted(linear({6, 3, 1}, {72, 100, 70}, {1, 2, 1}, 2), "output", 70, 70),
    split(naive(true), "input", 40, "output", 40),
    split(wavenet(false, false, 2), "", 0, "output", 70),
    conditioned(split(linear({4, 1}, {40, 72}, {1, 1}, 5), "embedding", 5, "output", 72),
                {{"tiers.0.blocks.0.condition", 80}, {"tiers.1.blocks.0.condition", 144}}),
    conditioned(predicted(wavenet(true, true, 2), "output.3", 30, 140), {{"condition", 6 * 140}}),
};

}  // namespace wavewright
